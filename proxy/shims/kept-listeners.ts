import { closeDescriptor } from "../../linux/socket.js";
import type { Timer, TimerWheel } from "../../linux/timer-wheel.js";
import type { PortServer } from "./port-server.js";
import { requestKey, type ShimRequest } from "./shim-protocol.js";

/** What a shim has handed over. */
export interface Served {
  readonly id: string;
  readonly request: ShimRequest;
}

interface Kept {
  readonly served: Served;
  readonly descriptor: number;
  readonly deadline: Timer;
}

/** Listeners whose shims ended with their dockerd: served on, and given back to the shims that ask with the same arguments. */
export class KeptListeners {
  readonly #kept = new Map<string, Kept>();

  constructor(
    private readonly timers: TimerWheel,
    private readonly publications: Pick<PortServer, "close">,
    /** How long a listener is kept, ms. */
    private readonly keepTime: number,
  ) {}

  get size(): number {
    return this.#kept.size;
  }

  /** @param descriptor the listener, its own from now on */
  keep(served: Served, descriptor: number): void {
    const key = requestKey(served.request);
    this.#drop(key, true);
    const deadline = this.timers.schedule(this.keepTime, () => this.#drop(key, true));
    this.#kept.set(key, { served, descriptor, deadline });
  }

  /** The listener for a shim that asks for the same: it has been served all the time, and goes on. Both are the caller's. */
  take(request: ShimRequest): Pick<Kept, "served" | "descriptor"> | undefined {
    const key = requestKey(request);
    const kept = this.#kept.get(key);
    if (!kept) return undefined;
    this.#kept.delete(key);
    kept.deadline.cancel();
    return kept;
  }

  /** Whoever asks for a port with other arguments is about to bind it. */
  makeRoom({ protocol, host }: ShimRequest): void {
    for (const [key, { served }] of [...this.#kept])
      if (served.request.protocol === protocol && served.request.host.port === host.port) this.#drop(key);
  }

  dropAll(): void {
    for (const key of [...this.#kept.keys()]) this.#drop(key);
  }

  /** @param untilTheirEnd the container runs on, for all that is known, and so do its connections */
  #drop(key: string, untilTheirEnd = false): void {
    const kept = this.#kept.get(key);
    if (!kept) return;
    this.#kept.delete(key);
    kept.deadline.cancel();
    closeDescriptor(kept.descriptor);
    this.publications.close(kept.served.id, untilTheirEnd);
  }
}
