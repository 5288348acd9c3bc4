import type { Gap } from "../../dns/protocol.js";

/** The gap the server was told of last: it opens at once, and closes only after the server has the records that fill it. */
export class GapKeeper {
  #told: Gap = { everywhere: false, networks: [] };
  #wanted: Gap = this.#told;

  /** @param tell the server; what it is told later comes after what it was told before */
  constructor(private readonly tell: (gap: Gap) => void) {}

  /** Opens what is not open yet. What is to close stays open until {@link close}. */
  want(gap: Gap): void {
    this.#wanted = gap;
    if (isWithin(gap, this.#told)) return;
    this.#say({
      everywhere: gap.everywhere || this.#told.everywhere,
      networks: [...new Set([...gap.networks, ...this.#told.networks])],
    });
  }

  /** The server has been told every record there is: what is no longer wanted open is closed. */
  close(): void {
    this.#say(this.#wanted);
  }

  #say(gap: Gap): void {
    this.#told = gap;
    this.tell(gap);
  }
}

/** Whether whatever is in the first gap is in the second too. */
function isWithin(inner: Gap, outer: Gap): boolean {
  return outer.everywhere || (!inner.everywhere && inner.networks.every((network) => outer.networks.includes(network)));
}
