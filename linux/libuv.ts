import koffi from "koffi";
import { arena, bind } from "./ffi.js";

const c = {
  defaultLoop: koffi.load(null).func("void *uv_default_loop()") as unknown as () => object,
  backendFd: koffi.load(null).func("int uv_backend_fd(void *)") as unknown as (loop: object) => number,
  pollInit: koffi.load(null).func("int uv_poll_init(void *, void *, int)") as unknown as (
    loop: object,
    handle: Buffer,
    fd: number,
  ) => number,
  pollStop: bind("int uv_poll_stop(void *)"),
  handleSize: bind("size_t uv_handle_size(int)"),
};
const PollCallback = koffi.proto("void PontoonPollCallback(void *handle, int status, int events)");
const pollStart = koffi.load(null).func("int uv_poll_start(void *, int, PontoonPollCallback *)") as unknown as (
  handle: Buffer,
  events: number,
  callback: unknown,
) => number;

const UV_READABLE = 1;

/** The descriptor libuv waits in: readable when Node's own loop has work. */
export function libuvDescriptor(): number {
  return c.backendFd(c.defaultLoop());
}

/**
 * Lets Node's own loop wait for descriptors it has no handle type for, all through one epoll instance.
 * Used by the daemon, whose work is mostly Node's; a server on a hot path uses the Reactor instead.
 * @param epollFd an epoll descriptor; `onReady` runs from the event loop's check phase each time it is readable
 * @returns stops watching
 */
export function watchFromNode(epollFd: number, onReady: () => void): () => void {
  // libuv keeps the handle's address until the loop ends, so it is never freed.
  const handle = arena(c.handleSize(8 /* UV_POLL */));
  keptAlive.push(handle);
  let scheduled = false;
  let stopped = false;
  const callback = koffi.register(() => {
    // Called from inside libuv, outside Node's callback scope: promises would not be drained here.
    if (scheduled || stopped) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      if (!stopped) onReady();
    });
  }, koffi.pointer(PollCallback));
  const failed = c.pollInit(c.defaultLoop(), handle, epollFd) || pollStart(handle, UV_READABLE, callback);
  if (failed) throw new Error(`libuv refused to watch descriptor ${epollFd}: ${failed}`);
  return () => {
    if (stopped) return;
    stopped = true;
    c.pollStop(handle);
  };
}

const keptAlive: Buffer[] = [];
