import { overlap, type SocketAddress } from "../common/address.js";
import { PontoonError } from "../common/errors.js";
import type { Timer } from "../linux/timer-wheel.js";
import {
  checkPublication,
  defaults,
  type Protocol,
  type Publication,
  type PublicationOwner,
} from "./publication/publication.js";
import type { PublicationReport, Relay } from "./publication/relay.js";
import { TcpRelay, type TcpTools } from "./tcp/tcp-relay.js";
import { UdpRelay, type UdpTools } from "./udp/udp-relay.js";

interface Open {
  readonly publication: Publication;
  readonly relay: Relay;
  readonly drainMs: number;
}

/** Everything this process serves. */
export class Publications {
  readonly #open = new Map<string, Open>();
  /** Closed ones whose connections go on for a while. */
  readonly #draining = new Map<Relay, Timer | undefined>();
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
   * The descriptor is its from now on; it stays the caller's when this throws PUBLICATION_INVALID or PUBLICATION_EXISTS.
   */
  open(publication: Publication, descriptor: number): void {
    const options = checkPublication(publication);
    if (this.#open.has(publication.id))
      throw new PontoonError("PUBLICATION_EXISTS", publication.id, `publication ${publication.id} is open already`);
    const relay =
      publication.protocol === "tcp"
        ? new TcpRelay(this.tools, publication, options, descriptor)
        : new UdpRelay(this.tools, publication, options, descriptor);
    this.#open.set(publication.id, { publication, relay, drainMs: options.drainMs });
  }

  /** Gives it another target from now on. @param target undefined: clients are refused until there is one again */
  retarget(id: string, target: SocketAddress | undefined): void {
    this.#open.get(id)?.relay.retarget(target);
  }

  /**
   * The port is free at once; connections may go on for the publication's `drainMs`. An unknown id is let pass.
   * @param untilTheirEnd connections may go on for as long as they like: the port is served elsewhere, or will be again
   */
  close(id: string, untilTheirEnd = false): void {
    const open = this.#open.get(id);
    if (!open) return;
    this.#open.delete(id);
    const { relay, drainMs } = open;
    this.#draining.set(
      relay,
      untilTheirEnd ? undefined : this.tools.timers.schedule(drainMs, () => this.#drained(relay)),
    );
    relay.drain(() => this.#drained(relay), untilTheirEnd);
  }

  /** Resets all connections of a closed publication. An unknown id is let pass. */
  cutOff(id: string): void {
    const relay = this.#open.get(id)?.relay;
    if (!relay) return;
    this.close(id, true);
    this.#drained(relay);
  }

  /** Ends at once what leads to addresses that no container has any more, also of publications that are closed. */
  gone(addresses: ReadonlySet<string>): void {
    for (const { relay } of this.#open.values()) relay.gone(addresses);
    for (const relay of [...this.#draining.keys()]) relay.gone(addresses);
  }

  /** Frees ports of the host that somebody is about to bind. */
  vacate(ports: ReadonlySet<number>): void {
    for (const { relay } of this.#open.values()) relay.vacate(ports);
  }

  /**
   * Closes all. @param onIdle called when the last connection has ended, or its time to go on is over
   * @param untilTheirEnd another process has the listeners: connections may go on for as long as they like
   */
  closeAll(onIdle: () => void, untilTheirEnd = false): void {
    this.#onIdle = onIdle;
    for (const id of [...this.#open.keys()]) this.close(id, untilTheirEnd);
    // Connections that an earlier call let go on without limit have one now.
    if (!untilTheirEnd)
      for (const [relay, deadline] of this.#draining)
        if (!deadline)
          this.#draining.set(
            relay,
            this.tools.timers.schedule(defaults.drainMs, () => this.#drained(relay)),
          );
    if (this.#draining.size === 0) this.tools.poller.defer(() => this.#tellIdle());
  }

  /** The owner of the publication that keeps others from binding a port; undefined when none does, or it has no owner. */
  ownerOf(protocol: Protocol, { ip, port }: SocketAddress): PublicationOwner | undefined {
    for (const { publication } of this.#open.values())
      if (publication.protocol === protocol && publication.listen.port === port && overlap(publication.listen.ip, ip))
        return publication.owner;
    return undefined;
  }

  /** One after the other: there may be tens of thousands, and some may go meanwhile. */
  *reports(): Generator<PublicationReport, undefined> {
    for (const { relay } of this.#open.values()) yield relay.report();
    return undefined;
  }

  #drained(relay: Relay): void {
    const deadline = this.#draining.get(relay);
    if (!this.#draining.delete(relay)) return;
    deadline?.cancel();
    relay.destroy();
    if (this.#draining.size === 0) this.#tellIdle();
  }

  #tellIdle(): void {
    const onIdle = this.#onIdle;
    this.#onIdle = undefined;
    onIdle?.();
  }
}
