import type { Pipe } from "../../linux/pipe.js";
import type { Ready } from "../../linux/poller.js";

/** The owner of an end, which is told what the poller says of it. */
export interface EndOwner {
  onReady(end: End, events: number): void;
}

/** One of a connection's two sockets, and what is on the way to it. */
export class End implements Ready {
  peer!: End;
  /** Of the poller; -1 while it is not watched. */
  token = -1;
  /** Bytes from the peer that this socket has not taken yet. While there are any, nothing more is read from the peer. */
  unsent: Buffer | undefined;
  /** What is unsent is one byte, and was marked urgent. */
  isUnsentUrgent = false;
  /** A pipe with bytes for this socket, and how many it holds. */
  pipe: Pipe | undefined;
  piped = 0;
  /** A byte marked urgent, or perhaps its end, comes next or soon: what it sends is received with care for that, and not spliced. */
  needsCare = false;
  /** The poller has told of its end, which may lie behind unread bytes. It does not tell again when the end is reached. */
  isEnding = false;
  /** It has sent all it will. */
  ended = false;
  /** It was reset, or timed out: nothing reaches it any more. */
  isLost = false;
  /** It was told that its peer has ended. */
  shut = false;
  /** Bytes received from it. */
  received = 0;

  constructor(
    readonly fd: number,
    private readonly owner: EndOwner,
  ) {}

  get isBlocked(): boolean {
    return this.unsent !== undefined || this.piped > 0;
  }

  onReady(events: number): void {
    this.owner.onReady(this, events);
  }
}
