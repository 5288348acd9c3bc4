import type { Poller } from "../../linux/poller.js";
import { RuleNews, ruleChanges } from "../../linux/netlink/rule-news.js";

/** Rules often change many at a time; what comes within this time, ms, is looked at once. */
const gathering = 100;
/** A look is followed by so many times its own time without one: who has many rules and changes them all the time does not keep us busy. */
const restFor = 9;
/** ms; however long a look takes. */
const restAtMost = 5_000;

/** Tells that rules of the host's firewall have changed, or what else there is news of: somebody's, or our own. */
export class RuleWatch {
  #news: RuleNews | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Not before this time on the clock of `performance`. */
  #restUntil = 0;

  /** @param onChanged changes that are made before what it returns is settled are taken for its own */
  constructor(
    private readonly poller: Poller,
    private readonly onChanged: () => Promise<void>,
    private readonly of = ruleChanges,
  ) {}

  /** Can be called twice. */
  start(): void {
    if (this.#news) return;
    this.#news = new RuleNews(this.poller, () => this.#soon(), this.of);
    this.#news.listen();
  }

  /** Can be called twice. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    const news = this.#news;
    this.#news = undefined;
    await news?.close();
  }

  #soon(): void {
    const wait = Math.max(gathering, this.#restUntil - performance.now());
    this.#timer = setTimeout(() => void this.#look(), wait);
  }

  async #look(): Promise<void> {
    const news = this.#news;
    news?.forget();
    const begun = performance.now();
    await this.onChanged();
    const ended = performance.now();
    this.#restUntil = ended + Math.min(restAtMost, restFor * (ended - begun));
    if (this.#news === news) news?.listen();
  }
}
