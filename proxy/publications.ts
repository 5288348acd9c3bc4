import { PontoonError } from "../src/errors.js";
import { closeDescriptor } from "../src/linux/socket.js";
import type { Deadline } from "../src/linux/wheel.js";
import { checkPublication, type Endpoint, type Publication } from "./publication.js";
import type { PublicationReport, Relay } from "./relay.js";
import { TcpRelay, type TcpTools } from "./tcp-relay.js";
import { UdpRelay, type UdpTools } from "./udp-relay.js";

interface Open {
  readonly relay: Relay;
  readonly drainMs: number;
}

/** Everything this process serves. */
export class Publications {
  readonly #open = new Map<string, Open>();
  /** Closed ones whose connections go on for a while. */
  readonly #draining = new Map<Relay, Deadline>();
  #onIdle: (() => void) | undefined;

  constructor(private readonly tools: TcpTools & UdpTools) {}

  get size(): number {
    return this.#open.size;
  }

  /** Closed ones that still have connections. */
  get draining(): number {
    return this.#draining.size;
  }

  /**
   * Serves a bound socket (TCP: listening; UDP: with pktinfo on, which is set if it is not).
   * Takes ownership of the descriptor, also when it throws PUBLICATION_INVALID or PUBLICATION_EXISTS.
   */
  open(publication: Publication, descriptor: number): void {
    try {
      const options = checkPublication(publication);
      if (this.#open.has(publication.id)) throw new PontoonError("PUBLICATION_EXISTS", publication.id, `publication ${publication.id} is open already`);
      const relay = publication.protocol === "tcp"
        ? new TcpRelay(this.tools, publication, options, descriptor)
        : new UdpRelay(this.tools, publication, options, descriptor);
      this.#open.set(publication.id, { relay, drainMs: options.drainMs });
    } catch (error) {
      closeDescriptor(descriptor);
      throw error;
    }
  }

  /** Other target for what follows. @param target undefined: clients are refused until there is one again */
  retarget(id: string, target: Endpoint | undefined): void {
    this.#open.get(id)?.relay.retarget(target);
  }

  /** The port is free at once; connections may go on for the publication's `drainMs`. An unknown id is none to close. */
  close(id: string): void {
    const open = this.#open.get(id);
    if (!open) return;
    this.#open.delete(id);
    const { relay, drainMs } = open;
    this.#draining.set(relay, this.tools.wheel.in(drainMs, () => this.#drained(relay)));
    relay.drain(() => this.#drained(relay));
  }

  /** Closes all. @param onIdle called when the last connection has ended, or its time to go on is over */
  closeAll(onIdle: () => void): void {
    this.#onIdle = onIdle;
    for (const id of [...this.#open.keys()]) this.close(id);
    if (this.#draining.size === 0) this.tools.poller.soon(() => this.#tellIdle());
  }

  report(): PublicationReport[] {
    return [...this.#open.values()].map(({ relay }) => relay.report());
  }

  #drained(relay: Relay): void {
    const deadline = this.#draining.get(relay);
    if (deadline === undefined) return;
    this.#draining.delete(relay);
    deadline.cancel();
    relay.destroy();
    if (this.#draining.size === 0) this.#tellIdle();
  }

  #tellIdle(): void {
    const onIdle = this.#onIdle;
    this.#onIdle = undefined;
    onIdle?.();
  }
}
