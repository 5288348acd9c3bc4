import type { Poller } from "../../linux/poller.js";

// How much TCP clients may use of a process that answers everybody else as well.

/** How many connections there may be: of one sandbox, and of all together. */
export interface ConnectionLimits {
  readonly ofSandbox: number;
  readonly inAll: number;
}

export const CONNECTION_LIMITS: ConnectionLimits = { ofSandbox: 128, inAll: 2048 };
/** After so many milliseconds in which a client has neither sent a whole query nor taken a whole reply, it is idle. */
export const IDLE_TIME = 10_000;
/** Questions of one connection under way; nothing more is read until some are answered. */
export const UNDER_WAY_AT_MOST = 64;
/** When a client has not taken so many bytes of replies, nothing more is read from it. */
export const UNSENT_PAUSE = 64 * 1024;
/** Bytes of replies one client may leave untaken; then it is cut off. */
const unsentAtMost = 512 * 1024;
/** The same for all clients together. */
const unsentInAll = 32 * 1024 * 1024;
/** What one connection may always leave: the largest reply with its length. */
const unsentAtLeast = 64 * 1024 + 2;
/** Messages of one sandbox that are answered before others get a turn. */
const messagesAtOnce = 32;

/** Replies that clients have not taken yet, over all connections. */
export class UnsentReplies {
  /** Bytes. */
  total = 0;

  /**
   * Bytes one connection may leave untaken now: the less is left for all, the less for each, so that many who do not
   * read cannot use up what somebody who reads needs for a moment.
   */
  get limit(): number {
    return Math.max(unsentAtLeast, Math.min(unsentAtMost, (unsentInAll - this.total) / 16));
  }
}

/** A sandbox's share of a round of the loop, however many connections it has and however much it sends at once. */
export class MessageShare {
  #left = messagesAtOnce;
  #renewing = false;
  #waiting: (() => void)[] = [];

  constructor(private readonly poller: Poller) {}

  /** Takes one message's worth. @returns false when there is none left: `later` is called in the next round */
  take(later: () => void): boolean {
    if (!this.#renewing) {
      this.#renewing = true;
      this.poller.defer(() => this.#renew());
    }
    if (this.#left > 0) {
      this.#left--;
      return true;
    }
    this.#waiting.push(later);
    return false;
  }

  #renew(): void {
    this.#left = messagesAtOnce;
    this.#renewing = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const later of waiting) later();
  }
}
