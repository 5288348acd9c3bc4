import { closePipe, openPipe, type Pipe } from "../../linux/pipe.js";

/** Bytes a pipe holds. With a large one fewer calls move the same bytes, and its peers are woken less often. */
const LARGE = 1 << 20; // the most an ordinary user may have in one, unless fs.pipe-max-size says otherwise
const SMALL = 256 << 10;
const idleAtMost = 4;

/**
 * Pipes to splice through, lent only while they hold data. An ordinary user has 64 MB of them (fs.pipe-user-pages-soft),
 * all its processes together: the first half of a process's share goes in large pipes, the rest in small ones for as
 * many connections as possible; a connection without a pipe is copied.
 */
export class Pipes {
  readonly #idle: Pipe[] = [];
  #lent = 0;
  #bytes = 0;

  /** @param bytesAtMost this process's share of what the user may have in pipes */
  constructor(private readonly bytesAtMost: number) {}

  /** Pipes that are lent. */
  get lent(): number {
    return this.#lent;
  }

  /** @returns an empty pipe, or undefined when there are no more */
  take(): Pipe | undefined {
    const pipe = this.#idle.pop() ?? this.#open();
    if (pipe) this.#lent++;
    return pipe;
  }

  /** Takes a pipe back. @param isEmpty one that still holds bytes is closed, and they are lost */
  give(pipe: Pipe, isEmpty: boolean): void {
    this.#lent--;
    if (isEmpty && this.#idle.length < idleAtMost) this.#idle.push(pipe);
    else this.#close(pipe);
  }

  close(): void {
    for (const pipe of this.#idle.splice(0)) this.#close(pipe);
  }

  #open(): Pipe | undefined {
    if (this.#bytes + SMALL > this.bytesAtMost) return undefined;
    const mayBeLarge = this.#bytes + LARGE <= this.bytesAtMost / 2;
    const pipe = (mayBeLarge ? openPipe(LARGE) : undefined) ?? openPipe(SMALL);
    if (pipe) this.#bytes += pipe.size;
    return pipe;
  }

  #close(pipe: Pipe): void {
    this.#bytes -= pipe.size;
    closePipe(pipe);
  }
}
