import { Epoll } from "./epoll.js";

/** Called with the epoll events that are true of the descriptor. */
export type ReadyHandler = (events: number) => void;

/** Is told of its descriptor's events, without a closure for each. */
export interface Ready {
  /** @param events those that are true of the descriptor */
  onReady(events: number): void;
}

/** One watched descriptor. Closing the watch does not close the descriptor, and can be done twice. */
export interface Watch {
  update(events: number): void;
  close(): void;
}

/** Descriptors and who handles them. What waits is the Reactor of a server, or Node's own loop in the daemon. */
export class Poller {
  readonly #epoll = new Epoll();
  readonly #handlers: (Ready | undefined)[] = [];
  readonly #free: number[] = [];
  // A token freed in this batch of events is not given out again before its end:
  // an event still queued for the old descriptor must not reach the new handler.
  readonly #freedInBatch: number[] = [];

  readonly #deferred: (() => void)[] = [];

  get fd(): number {
    return this.#epoll.fd;
  }

  /** How many descriptors are watched. */
  get size(): number {
    return this.#handlers.length - this.#free.length - this.#freedInBatch.length;
  }

  /** Watches a descriptor for one that keeps the token itself: for very many descriptors, watched for their whole life. */
  add(fd: number, events: number, handler: Ready): number {
    const token = this.#free.pop() ?? this.#handlers.length;
    this.#epoll.add(fd, events, token);
    this.#handlers[token] = handler;
    return token;
  }

  /**
   * Takes back what {@link add} gave. The descriptor itself leaves the epoll set when it is closed, which the caller does
   * next; one that lives on elsewhere (another process was given it) must be taken out with {@link remove} first.
   */
  release(token: number): void {
    this.#handlers[token] = undefined;
    this.#freedInBatch.push(token);
  }

  /** Stops watching a descriptor from {@link add} that goes on being used elsewhere. */
  remove(fd: number, token: number): void {
    this.#epoll.remove(fd);
    this.release(token);
  }

  watch(fd: number, events: number, handler: ReadyHandler): Watch {
    const token = this.add(fd, events, { onReady: handler });
    let open = true;
    return {
      update: (wanted) => {
        if (open) this.#epoll.modify(fd, wanted, token);
      },
      close: () => {
        if (!open) return;
        open = false;
        this.remove(fd, token);
      },
    };
  }

  /** Runs `work` after the handlers of this round: for what must not happen inside the caller's own call. */
  defer(work: () => void): void {
    this.#deferred.push(work);
  }

  /** Waits up to `timeout` ms and calls the handlers of what is ready. @returns how many were. */
  dispatch(timeout: number): number {
    const ready = this.#epoll.wait(this.#deferred.length > 0 ? 0 : timeout);
    for (let index = 0; index < ready; index++)
      this.#handlers[this.#epoll.token(index)]?.onReady(this.#epoll.events(index));
    if (this.#deferred.length > 0) for (const work of this.#deferred.splice(0)) work();
    while (this.#freedInBatch.length > 0) this.#free.push(this.#freedInBatch.pop()!);
    return ready;
  }

  close(): void {
    this.#epoll.close();
  }
}
