import type { LegacyRules } from "./legacy-rules.js";
import { patiently } from "./namespace-rules.js";
import { legacyRulesOf } from "./takeover.js";
import { EPOLLIN } from "../../../linux/constants.js";
import { RuleNews } from "../../../linux/netlink/rule-news.js";
import { openPidfd } from "../../../linux/pidfd.js";
import type { Poller, Watch } from "../../../linux/poller.js";
import { closeDescriptor } from "../../../linux/socket.js";

/** Tells when the rules of a container's namespace change, in whatever way they are made. */
export class RuleWatch {
  readonly #pidfd: number;
  readonly #end: Watch;
  readonly #legacyRules: LegacyRules;
  readonly #news: RuleNews;
  /** What told one state of legacy rules from another when they were last looked at. */
  #fingerprint: string | undefined;

  /**
   * Made inside the namespace, before its rules are read, so that no change falls between. Keeps the namespace alive until it is closed.
   * @param pid of the container's first process
   * @param onNews told once of a change, until it is to {@link listen} again
   * @param onEnd the process has ended: this is to be closed
   */
  constructor(poller: Poller, pid: number, onNews: () => void, onEnd: () => void) {
    this.#pidfd = openPidfd(pid);
    let legacyRules: LegacyRules | undefined;
    try {
      this.#legacyRules = legacyRules = legacyRulesOf(pid);
      this.#news = new RuleNews(poller, onNews);
      this.#end = poller.watch(this.#pidfd, EPOLLIN, onEnd);
    } catch (error) {
      closeDescriptor(this.#pidfd);
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
    closeDescriptor(this.#pidfd);
    this.#legacyRules.close();
    patiently(() => this.#news.close()).catch(() => undefined); // somebody keeps the rules locked: it is closed when they are free
  }
}
