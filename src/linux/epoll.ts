import { addressOf, arena, bind, check, lastErrno, LinuxError } from "./ffi.js";
import { EINTR, EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD } from "./constants.js";
import { layout } from "./layout.js";
import { closeDescriptor } from "./socket.js";

const c = {
  create: bind("int epoll_create1(int)"),
  control: bind("int epoll_ctl(int, int, int, void *)"),
  wait: bind("int epoll_wait(int, uint64_t, int, int)"),
};

const { size, data } = layout.epollEvent;
const capacity = 256;

/** One epoll instance. Each descriptor carries a token (a small whole number) that {@link token} gives back. */
export class Epoll {
  readonly fd = check(c.create(EPOLL_CLOEXEC), "epoll_create1");
  readonly #events = arena(size * capacity);
  readonly #eventsAt = addressOf(this.#events);
  readonly #one = arena(size);

  add(fd: number, events: number, token: number): void {
    check(c.control(this.fd, EPOLL_CTL_ADD, fd, this.#event(events, token)), "epoll_ctl", `add ${fd}`);
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
    return this.#events.readUInt32LE(index * size + data);
  }

  events(index: number): number {
    return this.#events.readUInt32LE(index * size);
  }

  close(): void {
    closeDescriptor(this.fd);
  }

  #event(events: number, token: number): Buffer {
    this.#one.writeUInt32LE(events >>> 0, 0);
    this.#one.writeUInt32LE(token, data);
    return this.#one;
  }
}
