import { uptime } from "node:os";
import type { Logger } from "pino";
import { describeError } from "../../../common/errors.js";
import type { Presence, PresenceEvents } from "../shared-store.js";
import { BackOff } from "./back-off.js";
import type { Lease, Leases } from "./leases.js";

/** A moment by both clocks: one stands still while the machine sleeps, the other is coarse. Both ms; neither can be set. */
interface Moment {
  readonly monotonic: number;
  readonly boot: number;
}

type State =
  /** `lease`: what may still be in the store, and has to be ended before there is another. */
  | { readonly kind: "lost"; readonly lease: Lease | undefined }
  | { readonly kind: "held"; readonly lease: Lease; readonly since: Moment };

/** What a presence is kept in. */
export interface PresencePlace {
  readonly leases: Leases;
  readonly log: Logger;
}

/**
 * A record that goes with a lease of etcd's. Whether it is held is our own judgement: until its time has passed since the
 * last keepalive that succeeded was sent, whatever etcd says later (etcd's issue 19091, etcd3's 57 and 110).
 */
export class PresenceRecord implements Presence {
  readonly #backOff = new BackOff();
  readonly #time: number;
  #state: State = { kind: "lost", lease: undefined };
  #wasHeld = false;
  #timer: NodeJS.Timeout | undefined;
  #watchdog: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;
  #turn: Promise<void> = Promise.resolve();

  /** @param ttl seconds */
  constructor(
    private readonly place: PresencePlace,
    private readonly record: { readonly key: string; readonly value: unknown },
    private readonly ttl: number,
    private readonly events: PresenceEvents,
    private readonly onOver: () => void,
  ) {
    this.#time = ttl * 1000;
    this.#schedule(0);
  }

  get state(): Presence["state"] {
    if (this.#state.kind === "lost" || this.#left(this.#state.since) <= 0) return { kind: "lost" };
    return { kind: "held", until: this.#state.since.monotonic + this.#time };
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  /** Stops without a word to the store. */
  stop(): void {
    this.#closing ??= Promise.resolve();
    clearTimeout(this.#timer);
    clearTimeout(this.#watchdog);
    this.onOver();
  }

  async #close(): Promise<void> {
    clearTimeout(this.#timer);
    clearTimeout(this.#watchdog);
    await this.#turn;
    this.onOver();
    const { lease } = this.#state;
    if (lease === undefined) return;
    await this.place.leases.revoke(lease, this.#time).catch((error: unknown) => {
      this.place.log.debug({ key: this.record.key, reason: describeError(error) }, "presence left to its lease");
    });
  }

  #schedule(wait: number): void {
    if (this.#closing) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#turn = this.#work();
    }, wait);
  }

  async #work(): Promise<void> {
    this.#lookAtClock();
    try {
      if (this.#state.kind === "held") await this.#keepAlive(this.#state.lease);
      else await this.#makeAnew(this.#state.lease);
      this.#backOff.reset();
      this.#schedule(this.state.kind === "held" ? this.#time / 3 : 0);
    } catch (error) {
      this.place.log.debug({ key: this.record.key, reason: describeError(error) }, "presence not kept");
      this.#schedule(Math.min(this.#backOff.wait(), this.#time / 6));
    }
  }

  async #keepAlive(lease: Lease): Promise<void> {
    const sent = now();
    const isAlive = await this.place.leases.keepAlive(lease, Math.max(1, this.#time / 3));
    this.#lookAtClock();
    if (this.#state.kind !== "held" || this.#closing) return;
    if (isAlive) this.#hold(lease, sent);
    else this.#lose(undefined);
  }

  async #makeAnew(old: Lease | undefined): Promise<void> {
    // A put that is under way still must not bind the record to a lease that ends: with the lease gone etcd refuses it.
    if (old !== undefined) await this.place.leases.revoke(old, this.#time);
    this.#state = { kind: "lost", lease: undefined };
    if (this.#closing) return;
    const sent = now();
    const lease = await this.place.leases.grant(this.ttl);
    this.#state = { kind: "lost", lease };
    if (this.#closing) return;
    const revision = await this.place.leases.put(this.record.key, this.record.value, lease);
    if (this.#closing || this.#left(sent) <= 0) return;
    this.#hold(lease, sent);
    if (this.#wasHeld) return;
    this.#wasHeld = true;
    this.events.onHeld(revision);
  }

  #hold(lease: Lease, since: Moment): void {
    this.#state = { kind: "held", lease, since };
    this.#armWatchdog();
  }

  #armWatchdog(): void {
    clearTimeout(this.#watchdog);
    if (this.#state.kind !== "held" || this.#closing) return;
    this.#watchdog = setTimeout(() => this.#lookAtClock(), Math.max(0, this.#left(this.#state.since)) + 1);
  }

  /** A timer may fire late, or early by the coarser clock: only the clocks count. */
  #lookAtClock(): void {
    if (this.#state.kind !== "held") return;
    if (this.#left(this.#state.since) > 0) return this.#armWatchdog();
    this.#lose(this.#state.lease);
    this.#schedule(0);
  }

  #lose(lease: Lease | undefined): void {
    clearTimeout(this.#watchdog);
    this.#state = { kind: "lost", lease };
    if (!this.#wasHeld || this.#closing) return;
    this.#wasHeld = false;
    this.events.onLost();
  }

  /** ms that are left of a time that began then. */
  #left(since: Moment): number {
    const { monotonic, boot } = now();
    return this.#time - Math.max(monotonic - since.monotonic, boot - since.boot);
  }
}

function now(): Moment {
  return { monotonic: performance.now(), boot: uptime() * 1000 };
}
