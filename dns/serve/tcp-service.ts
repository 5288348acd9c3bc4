import { EPOLLIN } from "../../linux/constants.js";
import { acceptSocket, closeDescriptor, setNoDelay, setSendBuffer, WOULD_BLOCK } from "../../linux/socket.js";
import type { ClientConnection, Sandbox } from "../sandbox.js";
import { TcpConnection, type TcpTools } from "./tcp-connection.js";
import { CONNECTION_LIMITS, MessageShare, UnsentReplies } from "./tcp-limits.js";

const acceptedAtOnce = 16;
/** Bytes of replies the kernel holds for one client; left alone it would hold megabytes for one that does not read. */
const sendBuffer = 64 * 1024;

/** Answers queries over TCP (RFC 7766) with bounded means: for one sandbox, and for all of them. */
export class TcpService {
  readonly #unsent = new UnsentReplies();
  readonly #owners = new Map<ClientConnection, Sandbox>();

  constructor(
    private readonly tools: TcpTools,
    private readonly limits = CONNECTION_LIMITS,
  ) {}

  /** Connections open now, of all sandboxes. */
  get connections(): number {
    return this.#owners.size;
  }

  /** Bytes of replies that clients have not taken. */
  get unsent(): number {
    return this.#unsent.total;
  }

  /** Serves the sandbox's listener from now on. */
  serve(sandbox: Sandbox, fd: number): void {
    const share = new MessageShare(this.tools.poller);
    const watch = this.tools.poller.watch(fd, EPOLLIN, () => {
      try {
        this.#accept(sandbox, fd, share);
      } catch {
        // Out of descriptors (or memory): looking away for a moment beats spinning on a listener that stays readable.
        watch.update(0);
        this.tools.timers.schedule(100, () => watch.update(EPOLLIN));
      }
    });
    sandbox.closeAtEnd(watch);
  }

  #accept(sandbox: Sandbox, fd: number, share: MessageShare): void {
    for (let count = 0; count < acceptedAtOnce; count++) {
      const accepted = acceptSocket(fd);
      if (accepted === WOULD_BLOCK) return;
      if (this.#makeRoom(sandbox)) this.#take(sandbox, accepted, share);
      else {
        closeDescriptor(accepted);
        sandbox.counters.refused++;
      }
    }
  }

  #take(sandbox: Sandbox, fd: number, share: MessageShare): void {
    const onClosed = (closed: ClientConnection) => {
      sandbox.closed(closed);
      this.#owners.delete(closed);
    };
    let connection: TcpConnection;
    try {
      setNoDelay(fd);
      setSendBuffer(fd, sendBuffer);
      connection = new TcpConnection(this.tools, { sandbox, share, unsent: this.#unsent, onClosed }, fd);
    } catch (error) {
      closeDescriptor(fd);
      throw error;
    }
    sandbox.counters.tcpConnections++;
    sandbox.used(connection);
    this.#owners.set(connection, sandbox);
  }

  /**
   * Where there are too many connections the one that has been idle for longest goes, so that clients that hold on to
   * theirs do not shut out the others. When all sandboxes together have too many, the one with most gives one up.
   * @returns false when there is none that could go
   */
  #makeRoom(sandbox: Sandbox): boolean {
    const { connections } = sandbox;
    if (connections.size < this.limits.ofSandbox && this.#owners.size < this.limits.inAll) return true;
    const crowded = connections.size >= this.limits.ofSandbox ? sandbox : this.#mostCrowded();
    for (const connection of crowded.connections) {
      if (connection.isBusy) continue;
      connection.close();
      return true;
    }
    return false;
  }

  #mostCrowded(): Sandbox {
    let most: Sandbox | undefined;
    for (const sandbox of new Set(this.#owners.values()))
      if (sandbox.connections.size > (most?.connections.size ?? 0)) most = sandbox;
    return most!;
  }
}
