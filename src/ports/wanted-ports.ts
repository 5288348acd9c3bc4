import type { PortSpan } from "../../proxy/dial/source-ports.js";
import type { Inventory } from "../inventory/inventory.js";

/**
 * UDP ports of the host that Docker's containers are to publish, running or not: dockerd from 28 on binds them without
 * asking anybody, so that flows of pontoon-proxy must keep off them from `docker create` on.
 */
export class WantedPorts {
  /** By container, those within the span. */
  readonly #of = new Map<string, readonly number[]>();

  /** @param span of ports that flows are sent from: others do not matter */
  constructor(
    private readonly inventory: Inventory,
    private readonly span: PortSpan,
    private readonly onChange: (ports: ReadonlySet<number>) => void,
  ) {
    inventory.onChange(({ containers }) => {
      const changed = [...containers].filter((id) => this.#look(id));
      if (changed.length > 0) this.onChange(new Set([...this.#of.values()].flat()));
    });
  }

  #look(id: string): boolean {
    const before = this.#of.get(id) ?? [];
    const now = (this.inventory.containers.get(id)?.wantedUdp ?? []).flatMap((range) => portsIn(range, this.span));
    if (now.length === 0) return this.#of.delete(id);
    this.#of.set(id, now);
    return now.length !== before.length || now.some((port, index) => port !== before[index]);
  }
}

/** Those of one range that lie in another. */
export function portsIn(range: PortSpan, { first, last }: PortSpan): number[] {
  const ports: number[] = [];
  for (let port = Math.max(first, range.first); port <= Math.min(last, range.last); port++) ports.push(port);
  return ports;
}
