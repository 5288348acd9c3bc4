import type { Poller } from "../../linux/poller.js";
import { RuleNews } from "../../linux/netlink/rule-news.js";

/** Rules often change many at a time; what comes within this time, ms, is looked at once. */
const gathering = 100;

/** Tells that rules of the host's firewall have changed: somebody's, or our own. */
export class RuleWatch {
  #news: RuleNews | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param onChanged changes that are made before what it returns is settled are taken for its own */
  constructor(
    private readonly poller: Poller,
    private readonly onChanged: () => Promise<void>,
  ) {}

  /** Can be called twice. */
  start(): void {
    if (this.#news) return;
    this.#news = new RuleNews(this.poller, () => this.#soon());
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
    this.#timer = setTimeout(() => {
      const news = this.#news;
      news?.forget();
      void this.onChanged().then(() => this.#news === news && news?.listen());
    }, gathering);
  }
}
