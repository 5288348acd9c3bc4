import type { Family } from "../../common/address.js";
import { errorCode } from "../../common/errors.js";
import { congestionControl, outgoingSocket, setCongestionControl, setNoDelay } from "../../linux/socket.js";

/** Spaces packets out by timers, which between processes of one host takes time and gains nothing. */
const pacing = /^bbr/;
/** Every kernel has it, and any user may choose it. */
const withoutPacing = "reno";

/**
 * Sockets to reach containers with, one of each family made ahead: a connection is accepted only when there is one to
 * pass it on with, so no client is accepted for which no descriptor is left.
 */
export class Dialer {
  /** Whether new sockets have it, by the host's default; asked once. */
  #isPaced: boolean | undefined;
  readonly #spare: Record<Family, number | undefined> = { ipv4: undefined, ipv6: undefined };

  /** @returns false when descriptors (or memory) are used up */
  prepare(family: Family): boolean {
    if (this.#spare[family] !== undefined) return true;
    try {
      const fd = outgoingSocket(family);
      setNoDelay(fd);
      this.#isPaced ??= pacing.test(congestionControl(fd));
      if (this.#isPaced) setCongestionControl(fd, withoutPacing);
      this.#spare[family] = fd;
      return true;
    } catch (error) {
      if (isExhausted(errorCode(error))) return false;
      throw error;
    }
  }

  /** The socket that was prepared; the caller's from now on. */
  take(family: Family): number {
    const fd = this.#spare[family];
    if (fd === undefined) throw new Error(`no ${family} socket was prepared`);
    this.#spare[family] = undefined;
    return fd;
  }
}

/** Whether an errno's name means that the process or the system has no more to give for now. */
export function isExhausted(code: string | undefined): boolean {
  return code === "EMFILE" || code === "ENFILE" || code === "ENOBUFS" || code === "ENOMEM";
}
