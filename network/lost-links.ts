import { LinkNews, type LinkNewsItem } from "../linux/netlink/rtnetlink/link-news.js";
import { linkNamed } from "../linux/netlink/rtnetlink/links.js";
import type { Rtnetlink } from "../linux/netlink/rtnetlink/rtnetlink.js";
import { baseOf, cutOff, isAboutWanted } from "./plan/cut-off.js";
import type { Scope } from "./plan/plan.js";
import type { SeenHost } from "./seen.js";
import type { Wanted, WantedNetwork } from "./wanted.js";

/** Notices what somebody else takes away of what is wanted, and links that networks stand on when they go and come. */
export class LostLinks {
  readonly #news = new LinkNews();
  /** As `Bases` of the plan has it. */
  readonly #bases = new Map<string, number>();

  constructor(private readonly host: Rtnetlink) {}

  /** Can be called once. */
  close(): void {
    this.#news.close();
  }

  /** Whether something may have been taken away since the last time. @param isAboutMore of what is wanted beside */
  hasNews(wanted: Wanted, isAboutMore: (item: LinkNewsItem) => boolean): boolean {
    const items = this.#news.read();
    return items === undefined || items.some(isAboutMore) || isAboutWanted(items, wanted, this.#bases);
  }

  /** What is to be set right, and what to say of links that networks stand on. */
  find(wanted: Wanted, host: SeenHost): { scope: Scope; notes: string[] } {
    const scope = cutOff(wanted, host, this.#bases);
    const networks = [...wanted.networks.values()];
    const bases = new Set(networks.flatMap(({ lan }) => (lan ? [baseOf(lan)] : [])));
    for (const name of this.#bases.keys()) if (!bases.has(name)) this.#bases.delete(name);
    return { scope, notes: this.note(networks) };
  }

  /** These networks are brought about on what is there now. @returns which links are gone since the last time, or there again */
  note(networks: readonly WantedNetwork[]): string[] {
    return networks.flatMap(({ name, lan }) => {
      if (!lan) return [];
      const base = baseOf(lan);
      const [before, index] = [this.#bases.get(base), linkNamed(this.host, base)?.index ?? 0];
      this.#bases.set(base, index);
      if (before === undefined || (before === 0) === (index === 0)) return [];
      return index === 0
        ? [`${base} is gone, on which network ${name} is: its sandboxes are cut off until it is back`]
        : [`${base} is there again, on which network ${name} is`];
    });
  }
}
