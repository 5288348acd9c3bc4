import { Poller } from "./poller.js";
import { watchFromNode } from "./libuv.js";

/** A Poller that Node's own event loop waits for, between start and stop; meanwhile the process does not end by itself. */
export class NodePoller {
  readonly poller = new Poller();
  #unwatch: (() => void) | undefined;

  start(): void {
    this.#unwatch ??= watchFromNode(this.poller.fd, () => {
      this.poller.dispatch(0);
    });
  }

  /** The epoll descriptor itself stays open: libuv still holds it until its next turn. */
  stop(): void {
    this.#unwatch?.();
    this.#unwatch = undefined;
  }
}
