import { EPOLLIN } from "./constants.js";
import { libuvDescriptor } from "./libuv.js";
import { Poller } from "./poller.js";
import { TimerWheel } from "./timer-wheel.js";

/** Node's own loop is visited at least this often (ms), so that its signals, timers and finalizers work. */
const visitEvery = 100;
/** Rounds of our own loop before Node gets a turn even though descriptors stay busy. */
const roundsAtMost = 64;

/**
 * The loop of a server: it waits in epoll itself, with libuv's descriptor as one more member, so that serving a
 * packet costs no turn of Node's loop. Handlers must not throw: an exception ends the process, as it should.
 */
export class Reactor {
  readonly poller = new Poller();
  readonly timers = new TimerWheel();
  #nodeIsReady = false;
  #running = false;

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.poller.watch(libuvDescriptor(), EPOLLIN, () => {
      this.#nodeIsReady = true;
    });
    setImmediate(this.#turn);
  }

  stop(): void {
    this.#running = false;
  }

  /** Serves until Node's loop has work or its visit is due, then lets it run. */
  readonly #turn = (): void => {
    if (!this.#running) return;
    // Only another visit tells the kernel what Node's handlers have just begun, such as a new socket.
    let patience = this.#nodeIsReady ? 0 : visitEvery;
    let now = this.timers.now();
    const visitAt = now + patience;
    this.#nodeIsReady = false;
    for (let round = 0; round < roundsAtMost; round++) {
      this.poller.dispatch(this.timers.waitAtMost(patience, now));
      now = this.timers.now();
      this.timers.turn(now);
      if (this.#nodeIsReady) break;
      patience = Math.ceil(visitAt - now);
      if (patience <= 0) break;
    }
    setImmediate(this.#turn);
  };
}
