import { EPOLLIN, EPOLLRDHUP } from "../../linux/constants.js";
import type { Poller, Ready } from "../../linux/poller.js";
import { resetAndClose } from "../../linux/socket.js";
import { AGAIN, receiveShared, shared } from "../../linux/stream.js";
import { HEADER_AT_MOST, readHeader, type Ends } from "./proxy-protocol.js";

export interface HeaderHandlers {
  /**
   * The header is there. The descriptor is the handler's, no longer watched.
   * @param ends undefined when the sender speaks for itself @param rest what came behind the header
   */
  onHeader(wait: HeaderWait, ends: Ends | undefined, rest: Buffer): void;
  /** The connection is closed: it brought no valid header, or none in time. */
  onRefused(wait: HeaderWait): void;
}

/** A connection of a trusted source, until its PROXY protocol header is there. */
export class HeaderWait implements Ready {
  readonly #token: number;
  #bytes: Buffer = Buffer.alloc(0);
  #open = true;

  /** @param since ms, by the owner's clock */
  constructor(
    private readonly poller: Poller,
    readonly fd: number,
    readonly since: number,
    private readonly handlers: HeaderHandlers,
  ) {
    this.#token = poller.add(fd, EPOLLIN | EPOLLRDHUP, this);
  }

  onReady(): void {
    if (!this.#open) return;
    const length = receiveShared(this.fd);
    if (length === AGAIN) return;
    if (length <= 0) return this.refuse();
    this.#bytes = Buffer.concat([this.#bytes, shared.subarray(0, length)]);
    const header = readHeader(this.#bytes);
    if (header.kind === "invalid" || (header.kind === "incomplete" && this.#bytes.length >= HEADER_AT_MOST))
      return this.refuse();
    if (header.kind === "incomplete") return;
    this.#open = false;
    this.poller.remove(this.fd, this.#token);
    this.handlers.onHeader(this, header.ends, this.#bytes.subarray(header.length));
  }

  /** Closes it without a header, with a reset. */
  refuse(): void {
    if (!this.#open) return;
    this.close();
    this.handlers.onRefused(this);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.poller.release(this.#token);
    resetAndClose(this.fd);
  }
}
