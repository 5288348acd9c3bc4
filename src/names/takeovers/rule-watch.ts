import { closeSync, openSync } from "node:fs";
import type { NamespacePlace } from "../../inventory/types.js";
import type { LegacyRules } from "./legacy-rules.js";
import { patiently } from "./namespace-rules.js";
import type { NamespaceEnds } from "./namespace-ends.js";
import { legacyRulesOf } from "./takeover.js";
import { RuleNews } from "../../../linux/netlink/rule-news.js";
import { openPidfd } from "../../../linux/pidfd.js";
import type { FileWatch } from "../../../linux/namespace-files.js";
import type { Poller } from "../../../linux/poller.js";
import { closeDescriptor } from "../../../linux/socket.js";

/** Tells when the rules of a container's namespace change, in whatever way they are made. */
export class RuleWatch {
  /** Of the process, if it is a process's namespace. */
  readonly #pidfd: number | undefined;
  readonly #end: FileWatch;
  readonly #legacyRules: LegacyRules;
  readonly #news: RuleNews;
  /** What told one state of legacy rules from another when they were last looked at. */
  #fingerprint: string | undefined;

  /**
   * Made inside the namespace, before its rules are read, so that no change falls between. Keeps the namespace alive until it is closed.
   * @param onNews told once of a change, until it is to {@link listen} again
   * @param onEnd the namespace has ended for us: this is to be closed
   */
  constructor(poller: Poller, ends: NamespaceEnds, place: NamespacePlace, onNews: () => void, onEnd: () => void) {
    this.#pidfd = place.kind === "process" ? openPidfd(place.pid) : undefined;
    let legacyRules: LegacyRules | undefined;
    try {
      this.#legacyRules = legacyRules = legacyRulesOf(place);
      this.#news = new RuleNews(poller, onNews);
      this.#end = place.kind === "process" ? ends.watch(place, this.#pidfd!, onEnd) : endOfThis(ends, place, onEnd);
    } catch (error) {
      if (this.#pidfd !== undefined) closeDescriptor(this.#pidfd);
      legacyRules?.close();
      throw error;
    }
  }

  /** What has changed so far is known. */
  forget(): void {
    this.#news.forget();
  }

  listen(): void {
    this.#news.listen();
  }

  /** Whether rules have changed since this was last asked, of which the kernel tells nobody; the first time, whether there are any. */
  async hasChangedUnheard(): Promise<boolean> {
    const before = this.#fingerprint;
    this.#fingerprint = await this.#legacyRules.fingerprint();
    return this.#fingerprint !== before;
  }

  close(): void {
    this.#end.close();
    if (this.#pidfd !== undefined) closeDescriptor(this.#pidfd);
    this.#legacyRules.close();
    patiently(() => this.#news.close()).catch(() => undefined); // somebody keeps the rules locked: it is closed when they are free
  }
}

/** Of the namespace this thread is in. */
function endOfThis(ends: NamespaceEnds, place: NamespacePlace, onEnd: () => void): FileWatch {
  const here = openSync("/proc/thread-self/ns/net", "r");
  try {
    return ends.watch(place, here, onEnd);
  } finally {
    closeSync(here);
  }
}
