import { errorCode } from "../../common/errors.js";
import { EPOLLIN } from "../../linux/constants.js";
import type { Poller, Watch } from "../../linux/poller.js";
import { acceptSocket, closeDescriptor, peerCredentials, WOULD_BLOCK } from "../../linux/socket.js";
import type { TimerWheel } from "../../linux/timer-wheel.js";

/** Shims accepted in one go before others get a turn. */
const acceptsAtOnce = 64;
/** Without free descriptors accepting pauses, instead of being tried in vain without a rest, ms. */
const pauseTime = 100;
const exhausted = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]);

/** Accepts shims on `proxy.sock`: processes of root's, as long as there is room for more. */
export class ShimAcceptor {
  #listener: number | undefined;
  #watch: Watch | undefined;

  constructor(
    private readonly poller: Poller,
    private readonly timers: TimerWheel,
    private readonly hasRoom: () => boolean,
    /** @param fd the connection, the receiver's from now on */
    private readonly onShim: (fd: number) => void,
  ) {}

  /** @param descriptor a listening socket, which stays the caller's */
  listen(descriptor: number): void {
    this.#listener = descriptor;
    const watch = (this.#watch = this.poller.watch(descriptor, EPOLLIN, () => {
      try {
        for (let count = 0; count < acceptsAtOnce && this.#acceptOne(descriptor); count++);
      } catch (error) {
        if (errorCode(error) === "ECONNABORTED") return;
        if (!exhausted.has(errorCode(error) ?? "")) throw error;
        watch.update(0);
        this.timers.schedule(pauseTime, () => watch.update(EPOLLIN));
      }
    }));
  }

  /** Accepts who has connected by now, since nobody else would answer them, and nobody from then on. */
  finish(): void {
    this.#watch?.close();
    if (this.#listener === undefined) return;
    try {
      while (this.#acceptOne(this.#listener));
    } catch {
      // without descriptors: those that are left look elsewhere after a while
    }
  }

  #acceptOne(listener: number): boolean {
    const fd = acceptSocket(listener);
    if (fd === WOULD_BLOCK) return false;
    if (peerCredentials(fd).uid !== 0 || !this.hasRoom()) closeDescriptor(fd);
    else this.onShim(fd);
    return true;
  }
}
