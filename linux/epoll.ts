import { addressOf, arena, bind, check, lastErrno, LinuxError } from "./ffi.js";
import { EINTR, EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD } from "./constants.js";
import { layout } from "./layout.js";
import { closeDescriptor } from "./socket.js";

const c = {
  create: bind("int epoll_create1(int)"),
  control: bind("int epoll_ctl(int, int, int, uint64_t)"),
  wait: bind("int epoll_wait(int, uint64_t, int, int)"),
};

const { size, data } = layout.epollEvent;
const capacity = 256;

/** One epoll instance. Each descriptor carries a token (a small whole number) that {@link token} gives back. */
export class Epoll {
  readonly fd = check(c.create(EPOLL_CLOEXEC), "epoll_create1");
  readonly #memory = arena(size * capacity);
  readonly #events = new Uint32Array(this.#memory.buffer);
  readonly #eventsAt = addressOf(this.#memory);
  readonly #one = arena(size);
  readonly #oneAt = addressOf(this.#one);
  readonly #one32 = new Uint32Array(this.#one.buffer);

  add(fd: number, events: number, token: number): void {
    if (c.control(this.fd, EPOLL_CTL_ADD, fd, this.#event(events, token)) !== 0) check(-1, "epoll_ctl", `add ${fd}`);
  }

  modify(fd: number, events: number, token: number): void {
    check(c.control(this.fd, EPOLL_CTL_MOD, fd, this.#event(events, token)), "epoll_ctl", `modify ${fd}`);
  }

  remove(fd: number): void {
    check(c.control(this.fd, EPOLL_CTL_DEL, fd, this.#event(0, 0)), "epoll_ctl", `remove ${fd}`);
  }

  /** Waits up to `timeout` ms (0 returns at once). @returns how many descriptors have something to say. */
  wait(timeout: number): number {
    const ready = c.wait(this.fd, this.#eventsAt, capacity, timeout);
    if (ready >= 0) return ready;
    const errno = lastErrno();
    if (errno === EINTR) return 0;
    throw new LinuxError(errno, "epoll_wait", "");
  }

  token(index: number): number {
    return this.#events[(index * size + data) >> 2]!;
  }

  events(index: number): number {
    return this.#events[(index * size) >> 2]!;
  }

  close(): void {
    closeDescriptor(this.fd);
  }

  /** @returns where the event lies */
  #event(events: number, token: number): number {
    this.#one32[0] = events;
    this.#one32[data >> 2] = token;
    return this.#oneAt;
  }
}
