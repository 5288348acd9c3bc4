import { EPOLLIN, EPOLLOUT, EPOLLRDHUP } from "../../linux/constants.js";
import type { Poller, Watch } from "../../linux/poller.js";
import { connectSocket, receiveBytes, sendBytes, WOULD_BLOCK } from "../../linux/socket.js";
import { errorCode } from "../../common/errors.js";
import type { Upstream } from "../protocol.js";
import { isReplyTo } from "../wire/reply-check.js";
import { randomId, type Exchange, type ExchangeOutcome } from "./udp-channel.js";

/**
 * Asks one question over TCP (RFC 7766) on a socket that is not connected yet.
 * @param giveBack called once, when the socket is no longer used; its connection may still be open
 * @param done called once, never from inside this call, unless the exchange was cancelled
 */
export function askOverTcp(
  poller: Poller,
  fd: number,
  { upstream, query, questionEnd }: { upstream: Upstream; query: Buffer; questionEnd: number },
  giveBack: (fd: number) => void,
  done: (outcome: ExchangeOutcome) => void,
): Exchange {
  const message = Buffer.allocUnsafe(2 + query.length);
  message.writeUInt16BE(query.length, 0);
  query.copy(message, 2);
  message.writeUInt16BE(randomId(), 2);
  let sent = 0;
  let incoming = Buffer.alloc(2);
  let received = 0;
  let open = true;
  let watch: Watch | undefined;

  const end = (outcome?: ExchangeOutcome) => {
    if (!open) return;
    open = false;
    watch?.close();
    giveBack(fd);
    if (outcome) done(outcome);
  };
  const fail = (reason: string) => end({ kind: "failed", reason });

  const send = () => {
    const moved = sendBytes(fd, message.subarray(sent));
    if (moved !== WOULD_BLOCK) sent += moved;
    if (sent === message.length) watch?.update(EPOLLIN | EPOLLRDHUP);
  };
  const receive = () => {
    while (open) {
      const moved = receiveBytes(fd, incoming.subarray(received));
      if (moved === WOULD_BLOCK) return;
      if (moved === 0) return fail("connection closed");
      received += moved;
      if (received < incoming.length) continue;
      if (received === 2) incoming = Buffer.concat([incoming, Buffer.alloc(incoming.readUInt16BE(0))]);
      if (received < incoming.length) continue;
      const reply = incoming.subarray(2);
      if (isReplyTo(reply, message.subarray(2), questionEnd)) end({ kind: "reply", reply });
      else fail("the reply does not match the question");
    }
  };

  try {
    connectSocket(fd, upstream);
    watch = poller.watch(fd, EPOLLOUT | EPOLLRDHUP, (events) => {
      try {
        // What has come in is read before an error is looked at: a server may reset right behind its reply.
        if (events & ~EPOLLOUT) receive();
        if (open && events & EPOLLOUT && sent < message.length) send();
      } catch (error) {
        fail(errorCode(error) ?? "connection failed");
      }
    });
  } catch (error) {
    poller.defer(() => fail(errorCode(error) ?? "connection failed"));
  }
  return { cancel: () => end() };
}
