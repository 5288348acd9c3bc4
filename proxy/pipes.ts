import { closePipe, openPipe, type Pipe } from "../src/linux/pipe.js";

/** Bytes a pipe holds. */
const PIPE_SIZE = 256 * 1024;
const idleAtMost = 8;

/**
 * Pipes to splice through, lent only while they hold data. An ordinary user has 64 MB of them (fs.pipe-user-pages-soft),
 * all its processes together; who gets none copies.
 */
export class Pipes {
  readonly #idle: Pipe[] = [];
  #lent = 0;

  /** @param bytesAtMost this process's share of what the user may have in pipes */
  constructor(private readonly bytesAtMost: number) {}

  /** Pipes that are with somebody. */
  get lent(): number {
    return this.#lent;
  }

  /** @returns an empty pipe, or undefined when there are no more */
  take(): Pipe | undefined {
    if ((this.#lent + 1) * PIPE_SIZE > this.bytesAtMost) return undefined;
    const pipe = this.#idle.pop() ?? openPipe(PIPE_SIZE);
    if (pipe) this.#lent++;
    return pipe;
  }

  /** Takes a pipe back. @param isEmpty one that still holds bytes is closed, and they are lost */
  give(pipe: Pipe, isEmpty: boolean): void {
    this.#lent--;
    if (isEmpty && this.#idle.length < idleAtMost) this.#idle.push(pipe);
    else closePipe(pipe);
  }

  close(): void {
    this.#idle.splice(0).forEach(closePipe);
  }
}
