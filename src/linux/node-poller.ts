import { Poller } from "./poller.js";
import { watchFromNode } from "./libuv.js";

/** A Poller that Node's own event loop waits for. Close it to let the process end. */
export function pollerForNode(): { poller: Poller; close: () => void } {
  const poller = new Poller();
  const unwatch = watchFromNode(poller.fd, () => {
    poller.dispatch(0);
  });
  return {
    poller,
    // The epoll descriptor itself stays open: libuv still holds it until its next turn.
    close: unwatch,
  };
}
