import type { SocketAddress } from "../../common/address.js";
import { EMFILE, ENFILE, ENOBUFS, EPOLLIN, SHUT_RD, SO_REUSEADDR, SOL_SOCKET } from "../../linux/constants.js";
import type { Poller, Watch } from "../../linux/poller.js";
import { closeDescriptor, listenSocket, setKeepalive, setNoDelay, setOption } from "../../linux/socket.js";
import { acceptedFrom, acceptStream, acceptStreamFrom, AGAIN, shutdownSocket } from "../../linux/stream.js";
import { keepalive } from "./tcp-connection.js";

/** Connections accepted in a turn, so that a flood of them on one port leaves the others their turn. */
const acceptedAtOnce = 16;
const backlog = 4096; // the kernel takes as many as net.core.somaxconn allows
const ENOMEM = 12;

export interface ListenerHandlers {
  /** Whether one more connection could be served. When not, the listener pauses until {@link TcpListener.resume}. */
  hasRoom(): boolean;
  onConnection(fd: number, client: SocketAddress | undefined): void;
  /** There are no more descriptors. The listener has paused. */
  onExhausted(): void;
}

/** The listening socket of a publication. */
export class TcpListener {
  #watch: Watch | undefined;
  #open = true;
  #refusing = false;

  /** @param needsClientAddress whether handlers need to know the client's address */
  constructor(
    private readonly poller: Poller,
    private readonly fd: number,
    private readonly needsClientAddress: boolean,
    private readonly handlers: ListenerHandlers,
  ) {
    // Connections inherit what is set on their listener: no system call for each.
    setNoDelay(fd);
    setKeepalive(fd, keepalive);
    setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR"); // or our own connections would keep us from listening again
    listenSocket(fd, backlog); // an earlier process may have left it refusing
    this.resume();
  }

  /** Looks at the socket again. */
  resume(): void {
    if (this.#open && !this.#refusing) this.#watch ??= this.poller.watch(this.fd, EPOLLIN, () => this.#accept());
  }

  /** Clients queue in the kernel. */
  pause(): void {
    this.#watch?.close();
    this.#watch = undefined;
  }

  /** Has the kernel refuse clients, while the port stays ours. Those that were queued are reset. */
  refuse(): void {
    if (this.#refusing || !this.#open) return;
    this.pause();
    this.#refusing = true;
    // A bound socket that does not listen would share its port with another that asks for it.
    setOption(this.fd, SOL_SOCKET, SO_REUSEADDR, 0, "SO_REUSEADDR");
    shutdownSocket(this.fd, SHUT_RD);
  }

  /** Takes clients again. */
  unrefuse(): void {
    if (!this.#refusing || !this.#open) return;
    setOption(this.fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
    listenSocket(this.fd, backlog);
    this.#refusing = false;
    this.resume();
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.pause();
    closeDescriptor(this.fd);
  }

  #accept(): void {
    for (let count = 0; count < acceptedAtOnce && this.#watch; count++) {
      if (!this.handlers.hasRoom()) return this.pause();
      const accepted = this.needsClientAddress ? acceptStreamFrom(this.fd) : acceptStream(this.fd);
      if (accepted >= 0) this.handlers.onConnection(accepted, this.needsClientAddress ? acceptedFrom() : undefined);
      else if (accepted === AGAIN) return;
      else if (isExhaustion(-accepted)) {
        this.pause();
        return this.handlers.onExhausted();
      } // any other error is that of one connection (accept(2)); others may be queued behind it
    }
  }
}

function isExhaustion(errno: number): boolean {
  return errno === EMFILE || errno === ENFILE || errno === ENOBUFS || errno === ENOMEM;
}
