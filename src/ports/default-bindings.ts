import type { Logger } from "pino";
import { describeError } from "../../common/errors.js";
import type { Inventory } from "../inventory/inventory.js";
import { reachOf } from "../inventory/targets.js";
import type { Container } from "../inventory/types.js";
import type { PublishedPort } from "./published-port.js";
import { idOf, type Entry } from "./entry.js";
import type { PublishedPorts } from "./published-ports.js";

/** Keeps what was published by command without an address where Docker would bind it, as that changes with the container's networks. */
export class DefaultBindings {
  constructor(
    private readonly inventory: Inventory,
    private readonly ports: PublishedPorts,
    private readonly log: Logger,
  ) {}

  /** Binds anew what Docker would bind at other addresses now. Never rejects. */
  async review(concerns: (container: string) => boolean): Promise<void> {
    const movable = this.ports.all.filter(
      ({ port }) => port.byDefault === true && port.source === "command" && concerns(port.container),
    );
    for (const name of new Set(movable.map(({ port }) => port.container))) {
      const container = this.inventory.named(name);
      if (!container || !this.ports.knows(name) || !this.#isReached(container)) continue;
      try {
        await this.#rebind(
          movable.filter(({ port }) => port.container === name),
          this.ports.bindingOf(container).ips,
        );
      } catch (error) {
        this.log.error(
          { container: name, reason: describeError(error) },
          "published ports could not be bound where Docker would bind them now",
        );
      }
    }
  }

  /** One that is down, or on its way from one network to the next, keeps its ports where they are. */
  #isReached(container: Container): boolean {
    return reachOf(this.inventory, container).kind === "reached";
  }

  async #rebind(entries: readonly Entry[], ips: readonly string[]): Promise<void> {
    if (ips.length === 0) return; // clients are refused, and the ports kept
    const old = entries.filter(({ port }) => !ips.includes(port.ip));
    const isKnown = (port: PublishedPort) => this.ports.entries.has(idOf(port));
    const ports = new Map(
      entries
        .flatMap(({ port }) => ips.map((ip) => ({ ...port, ip })))
        .filter((port) => !isKnown(port))
        .map((port) => [idOf(port), port]),
    );
    if (old.length > 0 || ports.size > 0) await this.ports.replace(old, [...ports.values()]);
  }
}
