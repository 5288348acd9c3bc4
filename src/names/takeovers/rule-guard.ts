import type { Logger } from "pino";
import { describeError, errorCode } from "../../../common/errors.js";
import type { Poller } from "../../../linux/poller.js";
import { GivenBack } from "./failures.js";
import type { NamespacePlace } from "../../inventory/types.js";
import type { HeldTakeover, HeldTakeovers } from "./held-takeovers.js";
import type { NamespaceEnds } from "./namespace-ends.js";
import { RuleLooks } from "./rule-looks.js";
import { RuleWatch } from "./rule-watch.js";
import { insideTakeover, requireTakeable, type Takeover } from "./takeover.js";

/** Looks in a row at rules that changed meanwhile, until a container is given back for that. */
const changingAtMost = 3;

/** What is in the way, and may go when the rules change. */
export const OWN_RULES = "FOREIGN_DNS_RULES";
const notTakeable: readonly (string | undefined)[] = [OWN_RULES, "RULES_TOO_MANY", "RULES_CHANGING"];

/** A namespace whose rules are watched: it is held, or its own rules keep us from it. */
interface Watched {
  readonly rules: RuleWatch;
  /** Looks in a row at rules that changed meanwhile. */
  changing: number;
  readonly givenBack: GivenBack;
  /** It is to be held, if its rules allow it. */
  isWanted: boolean;
}

export interface RuleGuardEvents {
  /** Rules have changed where nothing is held. */
  onChanged(sandbox: string): void;
  /** A namespace that is held redirects DNS itself by now: it is to be given back. */
  onOwnRules(sandbox: string, error: unknown): void;
}

/** Watches the rules of namespaces, and looks at them again when they have changed: whoever redirects DNS itself has its way. */
export class RuleGuard {
  readonly #watched = new Map<string, Watched>();
  readonly #looks = new RuleLooks((sandbox) => this.#look(sandbox));
  #isLookingForSilent = false;

  constructor(
    private readonly poller: Poller,
    private readonly ends: NamespaceEnds,
    private readonly log: Logger,
    private readonly held: HeldTakeovers,
    private readonly events: RuleGuardEvents,
  ) {}

  has(sandbox: string): boolean {
    return this.#watched.has(sandbox);
  }

  /** Called inside the namespace, before its rules are read. */
  watch(sandbox: string, place: NamespacePlace): void {
    const known = this.#watched.get(sandbox);
    if (known) return known.rules.forget();
    const rules = new RuleWatch(
      this.poller,
      this.ends,
      place,
      () => this.#onChanged(sandbox),
      () => this.unwatch(sandbox),
    );
    this.#watched.set(sandbox, { rules, changing: 0, givenBack: new GivenBack(), isWanted: true });
  }

  /** What an earlier daemon took over may redirect DNS itself by now. */
  watchAdopted(sandbox: string, takeover: Takeover): void {
    insideTakeover(takeover, () => this.watch(sandbox, takeover.place));
    this.#looks.soon(sandbox);
  }

  /** From here on changes are told, until the next one. */
  listen(sandbox: string): void {
    this.#watched.get(sandbox)?.rules.listen();
  }

  unwatch(sandbox: string, watched = this.#watched.get(sandbox)): void {
    if (!watched || this.#watched.get(sandbox) !== watched) return;
    this.#watched.delete(sandbox);
    this.#looks.forget(sandbox);
    watched.rules.close();
  }

  unwatchAll(): void {
    for (const sandbox of [...this.#watched.keys()]) this.unwatch(sandbox);
  }

  /** A sandbox is to be held, if its rules allow it. */
  want(sandbox: string): void {
    const watched = this.#watched.get(sandbox);
    if (watched) watched.isWanted = true;
  }

  /**
   * A sandbox is not to be held any more.
   * @returns to be called when it is not: watches it no longer, unless it has come to be wanted again meanwhile
   */
  unwant(sandbox: string): () => void {
    const watched = this.#watched.get(sandbox);
    if (watched) watched.isWanted = false;
    return () => {
      if (watched?.isWanted === false) this.unwatch(sandbox, watched);
    };
  }

  /**
   * A sandbox has been given back to its own rules.
   * @returns how often in a row; undefined when it has ended, or is wanted no more
   */
  givenBack(sandbox: string): number | undefined {
    const watched = this.#watched.get(sandbox);
    if (!watched) return undefined;
    if (!watched.isWanted) {
      this.unwatch(sandbox, watched);
      return undefined;
    }
    watched.rules.listen();
    return watched.givenBack.count();
  }

  /** Looks whether rules have changed that the kernel tells nobody of. To be called every few seconds. Never rejects. */
  async lookForSilentChanges(): Promise<void> {
    if (this.#isLookingForSilent) return;
    this.#isLookingForSilent = true;
    for (const [sandbox, watched] of [...this.#watched]) await this.#lookForSilentChange(sandbox, watched);
    this.#isLookingForSilent = false;
  }

  async #lookForSilentChange(sandbox: string, watched: Watched): Promise<void> {
    try {
      const hasChanged = await watched.rules.hasChangedUnheard();
      if (hasChanged && this.#watched.get(sandbox) === watched) this.#onChanged(sandbox);
    } catch (error) {
      this.log.debug(
        { sandbox: sandbox.slice(0, 12), reason: describeError(error) },
        "rules of legacy iptables could not be looked at",
      ); // it has just ended, mostly
    }
  }

  #onChanged(sandbox: string): void {
    if (this.held.has(sandbox)) this.#looks.soon(sandbox);
    else this.events.onChanged(sandbox);
  }

  async #look(sandbox: string): Promise<void> {
    const [held, watched] = [this.held.get(sandbox), this.#watched.get(sandbox)];
    if (!held || !watched || held.isLettingGo) return;
    watched.rules.forget();
    try {
      await requireTakeable(held.takeover);
      watched.changing = 0;
    } catch (error) {
      const code = errorCode(error);
      if (code === "RULES_CHANGING" && ++watched.changing < changingAtMost) this.#looks.soon(sandbox);
      else if (notTakeable.includes(code)) return this.#giveBack(sandbox, held, error);
      else if (code === "RULES_BUSY") this.#looks.soon(sandbox);
      // Else it has just ended.
    }
    if (this.#watched.get(sandbox) === watched) watched.rules.listen();
  }

  #giveBack(sandbox: string, held: HeldTakeover, error: unknown): void {
    if (this.held.get(sandbox) !== held || held.isLettingGo) return;
    this.log.warn(
      { sandbox: sandbox.slice(0, 12), code: errorCode(error), reason: describeError(error) },
      "a container is given back to Docker's resolver",
    );
    this.events.onOwnRules(sandbox, error);
  }
}
