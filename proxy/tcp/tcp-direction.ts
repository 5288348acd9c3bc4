// How bytes get from one end of a connection to the other: through the buffer all connections share, or spliced.
import {
  AGAIN,
  isAtUrgent,
  peek,
  receiveShared,
  receiveUrgent,
  sendAny,
  sendShared,
  sendUrgent,
  shared,
  SHARED_SIZE,
  spliceBytes,
} from "../../linux/stream.js";
import type { Pipes } from "./pipes.js";
import type { End } from "./tcp-end.js";

/** What became of an attempt to move what one end has sent. */
export const enum Moved {
  /** All that is there for now was moved, or the other end takes no more: an event will tell. */
  Waits,
  /** There may be more at once; others get their turn first. */
  MayGoOn,
  /** The end has sent all it will, and the other has taken it. */
  Ended,
  /** The receiving end cannot be written to any more. */
  CannotSend,
  /** The sending end was reset, or timed out. */
  CannotReceive,
}

/** Buffers moved before other connections get a turn. */
const buffersAtOnce = 4;
const splicesAtOnce = 8;

/** Moves what `from` has sent to its peer, by copying. */
export function copy(from: End): Moved {
  if (from.needsCare) return copyWithMarks(from);
  const to = from.peer;
  for (let count = 0; count < buffersAtOnce; count++) {
    if (to.unsent !== undefined) return Moved.Waits;
    if (from.ended) return Moved.Ended;
    const length = receiveShared(from.fd);
    if (length > 0) {
      from.received += length;
      if (!passOn(to, length)) return Moved.CannotSend;
      if (to.unsent === undefined && length < SHARED_SIZE && !from.isEnding) return Moved.Waits; // edge-triggered: an event tells of what comes later
    } else if (length === 0) from.ended = true;
    else return length === AGAIN ? Moved.Waits : Moved.CannotReceive;
  }
  return from.ended && to.unsent === undefined ? Moved.Ended : Moved.MayGoOn;
}

/**
 * The same where a byte may be marked urgent. The bytes before it are received alone; at its place it is received separately
 * and sent with its mark, and the next receive passes it over (tcp(7)). Only a receive of nothing is an end.
 */
function copyWithMarks(from: End): Moved {
  const to = from.peer;
  for (let count = 0; count < buffersAtOnce; count++) {
    if (to.unsent !== undefined) return Moved.Waits;
    if (from.ended) return Moved.Ended;
    const isAtMark = isAtUrgent(from.fd);
    const urgent = isAtMark ? receiveUrgent(from.fd) : undefined;
    if (typeof urgent === "number") return urgent === AGAIN ? Moved.Waits : Moved.CannotReceive;
    if (urgent !== undefined) {
      from.received++;
      to.unsent = urgent;
      to.isUnsentUrgent = true;
      if (flush(to) === Moved.CannotSend) return Moved.CannotSend;
      continue;
    }
    // If nothing is there, a receive could meet a mark that has just come, and skip its byte unseen.
    const waiting = isAtMark ? 1 : peek(from.fd);
    const length = waiting < 0 ? waiting : receiveShared(from.fd);
    if (isAtMark || length === AGAIN) from.needsCare = false;
    if (length > 0) {
      from.received += length;
      if (!passOn(to, length)) return Moved.CannotSend;
      if (isAtMark) break;
    } else if (length === 0) from.ended = true;
    else return length === AGAIN ? Moved.Waits : Moved.CannotReceive;
  }
  return from.ended && to.unsent === undefined ? Moved.Ended : Moved.MayGoOn;
}

/** Sends what was received into the shared buffer; what is not taken becomes unsent. @returns false when nothing can be sent any more */
function passOn(to: End, length: number): boolean {
  const sent = sendShared(to.fd, 0, length);
  if (sent === length) return true;
  if (sent < 0 && sent !== AGAIN) return false;
  to.unsent = Buffer.from(shared.subarray(Math.max(sent, 0), length));
  return true;
}

/** Sends what waits for an end. @returns Ended when nothing waits any more */
export function flush(to: End): Moved.Waits | Moved.Ended | Moved.CannotSend {
  while (to.unsent !== undefined) {
    const sent = to.isUnsentUrgent ? sendUrgent(to.fd, to.unsent) : sendAny(to.fd, to.unsent);
    if (sent < 0) return sent === AGAIN ? Moved.Waits : Moved.CannotSend;
    to.isUnsentUrgent = false;
    to.unsent = sent === to.unsent.length ? undefined : to.unsent.subarray(sent);
  }
  return Moved.Ended;
}

/** Moves what `from` has sent to its peer inside the kernel, or by copying when no pipe is left. */
export function splice(from: End, pipes: Pipes): Moved {
  const to = from.peer;
  if (to.unsent !== undefined) return Moved.Waits;
  for (let count = 0; count < splicesAtOnce; count++) {
    to.pipe ??= from.ended || from.needsCare ? undefined : pipes.take();
    if (to.pipe === undefined) return copy(from);
    const wasEmpty = to.piped === 0;
    const filled =
      from.ended || from.needsCare || to.piped >= to.pipe.size
        ? AGAIN
        : spliceBytes(from.fd, to.pipe.write, to.pipe.size - to.piped);
    if (filled > 0) {
      from.received += filled;
      to.piped += filled;
    } else if (filled === 0)
      from.needsCare = true; // an end, or a byte marked urgent in front of one
    else if (filled !== AGAIN) return Moved.CannotReceive;
    if (to.piped > 0) {
      const drained = spliceBytes(to.pipe.read, to.fd, to.piped);
      if (drained < 0) return drained === AGAIN ? Moved.Waits : Moved.CannotSend;
      to.piped -= drained;
    }
    if (to.piped > 0) continue;
    if (from.needsCare) {
      giveBack(to, pipes, Moved.Waits);
      return copyWithMarks(from);
    }
    if (from.ended) return giveBack(to, pipes, Moved.Ended);
    // AGAIN from a pipe that still held something may have meant the pipe, not the socket.
    if (filled === AGAIN && wasEmpty) return giveBack(to, pipes, Moved.Waits);
  }
  return Moved.MayGoOn;
}

function giveBack(to: End, pipes: Pipes, moved: Moved): Moved {
  if (to.pipe) pipes.give(to.pipe, true);
  to.pipe = undefined;
  return moved;
}
