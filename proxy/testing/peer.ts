import type { SocketAddress } from "../../common/address.js";
import {
  acceptSocket,
  closeDescriptor,
  connectSocket,
  localAddress,
  setReset,
  tcpSocket,
  WOULD_BLOCK,
} from "../../linux/socket.js";
import { AGAIN, isAtUrgent, peek, receiveShared, receiveUrgent, sendAny, shared } from "../../linux/stream.js";
import { listener, until, type TestLike } from "./proxy.js";

/** One end of a connection: what it has received, and where in it a byte was marked urgent. */
export class Peer {
  received = "";
  length = 0;
  ended = false;
  /** Errno it was cut off with. */
  error = 0;
  #isOpen = true;
  readonly urgent: (readonly [at: number, byte: string])[] = [];

  constructor(
    t: TestLike,
    readonly fd: number,
  ) {
    t.teardown(() => this.close());
  }

  close(): void {
    if (this.#isOpen) closeDescriptor(this.fd);
    this.#isOpen = false;
  }

  /** Ends it with a reset. */
  reset(): void {
    setReset(this.fd, true);
    this.close();
  }

  get isOver(): boolean {
    return this.ended || this.error !== 0;
  }

  /** Takes what is there. */
  read(): void {
    while (!this.ended && this.error === 0) {
      const waiting = peek(this.fd);
      const isAtMark = isAtUrgent(this.fd);
      if (waiting === AGAIN && !isAtMark) return; // a receive now would pass over a mark that just arrives
      const urgent = isAtMark ? receiveUrgent(this.fd) : undefined;
      if (urgent === AGAIN) return;
      if (urgent instanceof Buffer) this.urgent.push([this.length, urgent.toString("latin1")]);
      const length = waiting < 0 && waiting !== AGAIN ? waiting : receiveShared(this.fd);
      if (length === AGAIN) return;
      if (length === 0) this.ended = true;
      else if (length < 0) this.error = -length;
      else {
        this.length += length;
        this.received = (this.received + shared.latin1Slice(0, length)).slice(-20);
      }
    }
  }

  async send(bytes: Buffer, meanwhile: () => void): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const sent = sendAny(this.fd, bytes.subarray(at));
      if (sent > 0) at += sent;
      else if (sent !== AGAIN) throw new Error(`errno ${-sent}`);
      meanwhile();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Sends until nothing more is taken for a while. @returns bytes taken */
  async fill(): Promise<number> {
    const block = Buffer.alloc(1 << 20, ".");
    let [sent, idle] = [0, 0];
    await until("nothing more is taken", () => {
      const taken = sendAny(this.fd, block);
      if (taken > 0) [sent, idle] = [sent + taken, 0];
      return ++idle > 20;
    });
    return sent;
  }
}

/** A client and the service it is connected to through a published port. */
export async function connected(
  t: TestLike,
  publish: (target: SocketAddress) => SocketAddress | Promise<SocketAddress>,
  ip = "127.0.0.1",
): Promise<[client: Peer, service: Peer]> {
  const service = listener("tcp", { ip, port: 0 });
  t.teardown(() => closeDescriptor(service));
  const address = await publish(localAddress(service));
  const client = tcpSocket();
  connectSocket(client, address);
  let accepted = WOULD_BLOCK;
  await until("it is passed on", () => (accepted = acceptSocket(service)) !== WOULD_BLOCK);
  return [new Peer(t, client), new Peer(t, accepted)];
}
