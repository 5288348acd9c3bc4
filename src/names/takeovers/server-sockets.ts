import type { Family } from "../../../common/address.js";
import type { ToServer } from "../../../dns/protocol.js";
import { closeDescriptor } from "../../../linux/socket.js";
import type { HeldTakeovers } from "./held-takeovers.js";
import type { NamespaceWork } from "./namespace-work.js";
import { openForwardingSockets, openServerSockets } from "./takeover.js";

const forwardingUdp = 2;
const forwardingTcp = 1;
/** What a server may hold in one namespace; its own limits are lower. One that asks for more is at fault. */
const socketsAtMost = 256;

/** How the server is reached; undefined while there is none. */
export type SendToServer = ((message: ToServer, descriptors?: readonly number[]) => void) | undefined;

/** Gives the server its sockets in the namespaces that are held. */
export class ServerSockets {
  #send: SendToServer;

  /** @param onMisuse the server has asked for what none of ours asks */
  constructor(
    private readonly held: HeldTakeovers,
    private readonly inNamespace: NamespaceWork,
    private readonly onMisuse: (what: string) => void,
  ) {}

  /** As `Takeovers.connect`. */
  connect(
    send: SendToServer & {},
    known: ReadonlySet<string>,
    isTold: (sandbox: string) => boolean = () => true,
  ): void {
    this.#send = send;
    for (const sandbox of this.held.sandboxes) if (!known.has(sandbox) && isTold(sandbox)) this.give(sandbox);
  }

  disconnect(): void {
    this.#send = undefined;
  }

  /** undefined while there is no server */
  get send(): SendToServer {
    return this.#send;
  }

  /** Those it serves with, and the first to forward from. */
  give(sandbox: string): void {
    const [send, takeover] = [this.#send, this.held.get(sandbox)?.takeover];
    if (!send || !takeover) return;
    void this.inNamespace(sandbox, () => {
      const { dockerResolver, udp, tcp } = openServerSockets(takeover, forwardingUdp, forwardingTcp);
      const { end, place, port, hasDockerResolver } = takeover;
      const message = { kind: "sockets", sandbox, port, udp: udp.length, tcp: tcp.length, hasDockerResolver } as const;
      sendingAway([...(dockerResolver === undefined ? [] : [dockerResolver]), ...udp, ...tcp], (opened) =>
        send({ ...message, ...(place.kind === "named" && { path: place.path }) }, [
          end,
          takeover.udp,
          takeover.tcp,
          ...opened,
        ]),
      );
    });
  }

  /** More to forward from, as the server asks. */
  giveMore({ sandbox, family = "ipv4", udp: udpCount, tcp: tcpCount }: SocketRequest): void {
    const held = this.held.get(sandbox);
    if (!held) return; // it may have just ended
    held.handedOut += udpCount + tcpCount;
    if (udpCount + tcpCount === 0 || held.handedOut > socketsAtMost) {
      const before = held.handedOut - udpCount - tcpCount;
      return this.onMisuse(`it wants ${udpCount} + ${tcpCount} sockets in a namespace where it was given ${before}`);
    }
    void this.inNamespace(sandbox, () => {
      const { udp, tcp } = openForwardingSockets(held.takeover, family, udpCount, tcpCount);
      sendingAway([...udp, ...tcp], (opened) =>
        this.#send?.({ kind: "more-sockets", sandbox, family, udp: udp.length, tcp: tcp.length }, opened),
      );
    });
  }
}

interface SocketRequest {
  readonly sandbox: string;
  readonly family?: Family;
  readonly udp: number;
  readonly tcp: number;
}

/** Closes what was opened for the server when it has been sent, or cannot be. */
function sendingAway(opened: readonly number[], send: (opened: readonly number[]) => void): void {
  try {
    send(opened);
  } finally {
    opened.forEach(closeDescriptor);
  }
}
