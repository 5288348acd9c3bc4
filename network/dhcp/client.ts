import { describeError, errorCode } from "../../common/errors.js";
import { EPOLLIN } from "../../linux/constants.js";
import { broadcastMac, LinkSocket, linkProtocols } from "../../linux/link-socket.js";
import type { Poller, Watch } from "../../linux/poller.js";
import { AddressProbe } from "./address-probe.js";
import type { Lease } from "./lease.js";
import { atLink, type LinkPlace } from "./link.js";
import { MalformedPacket } from "./malformed.js";
import { decodeMessage, encodeMessage, type Outgoing } from "./message.js";
import { release, type Addressee, type Identity } from "./requests.js";
import { begin, step, type Effect, type Event, type State, type Transition } from "./states.js";
import { decodeDatagram, encodeDatagram, toClients } from "./udp.js";

/** What a client is told to be; its MAC address is that of its link. */
export type ClientIdentity = Omit<Identity, "mac">;

/** What was lent before. */
export interface Kept {
  readonly lease: Lease;
  /** Whether nothing has happened to the link since. */
  readonly isSamePlace: boolean;
}

export interface ClientEvents {
  /** A lease is there, is another one, or counts for longer. */
  onLease(lease: Lease): void;
  /** There is none any more, and it may not be used; the client goes on asking. */
  onLost(reason: string): void;
  /** Something that is worth a line in the log. */
  onTrouble(reason: string): void;
}

/** Packets that are read before others have their turn. */
const atOnce = 32;
/** A timer of Node's takes no more; and a clock may be set meanwhile. ms */
const timerAtMost = 60_000;

/**
 * Has an address lent for one link of a namespace, for as long as it runs. Owns its timer, and its socket, which is open only while
 * something is asked: with a lease it costs nothing, and keeps no namespace from ending.
 */
export class DhcpClient {
  #state: State | undefined;
  #socket: { readonly link: LinkSocket; readonly watch: Watch; readonly who: Identity } | undefined;
  #probe: AddressProbe | undefined;
  #timer: NodeJS.Timeout | undefined;
  #trouble: string | undefined;

  constructor(
    private readonly poller: Poller,
    private readonly place: LinkPlace,
    private readonly identity: ClientIdentity,
    private readonly events: ClientEvents,
  ) {}

  /** @param kept goes on with it. Can be called once. */
  start(kept: Kept | undefined): void {
    this.#take(begin(kept?.lease, kept?.isSamePlace ?? false, this.#who, moment()));
  }

  /** Leaves the lease as it is. Can be called twice. */
  stop(): void {
    this.#state = undefined;
    clearTimeout(this.#timer);
    this.#probe?.close();
    this.#closeSocket();
  }

  /** Its MAC address is known with a socket, through which everything goes that has it. */
  get #who(): Identity {
    return this.#socket?.who ?? { ...this.identity, mac: "00:00:00:00:00:00" };
  }

  #on(event: Event): void {
    if (!this.#state) return;
    this.#take(step(this.#state, event, this.#who, moment()));
  }

  #take({ state, effects }: Transition): void {
    this.#state = state;
    for (const effect of effects) if (this.#state === state) this.#carryOut(effect); // whoever is told may stop it
    if (this.#state !== state) return;
    if (state.kind === "bound" || state.kind === "init") this.#closeSocket();
    this.#wait(state.at === null ? undefined : state.at - Date.now());
  }

  /** @param delay ms; undefined for good */
  #wait(delay: number | undefined): void {
    clearTimeout(this.#timer);
    if (delay === undefined) return;
    this.#timer = setTimeout(() => this.#onTimer(), Math.max(0, Math.min(delay, timerAtMost))).unref();
  }

  #onTimer(): void {
    const state = this.#state;
    if (!state || state.at === null) return;
    const now = Date.now();
    const wasSetBack = state.kind === "bound" && now < state.lease.obtained;
    const left = state.at - now;
    if (left <= 0 || wasSetBack) this.#on({ kind: "due" });
    else this.#wait(left);
  }

  #carryOut(effect: Effect): void {
    switch (effect.kind) {
      case "send":
        return this.#send(effect.message, effect.to, effect.lease);
      case "probe":
        return this.#startProbe(effect.ip);
      case "leased":
        this.#trouble = undefined;
        return this.events.onLease(effect.lease);
      case "lost":
        return this.events.onLost(effect.reason);
    }
  }

  /** What cannot be sent is as if it had been lost on the way. */
  #send(message: Outgoing, to: Addressee, lease: Lease | undefined): void {
    const socket = this.#openSocket();
    if (!socket) return;
    try {
      send(socket.link, { ...message, mac: socket.who.mac }, to === "server" ? lease : undefined);
    } catch (error) {
      this.#tell(error);
      if (errorCode(error) !== "ENOBUFS") this.#closeSocket();
    }
  }

  #startProbe(ip: string): void {
    // Those that share a MAC address cannot be told from one another by it.
    if (this.identity.sharesMac) return queueMicrotask(() => this.#on({ kind: "probed", isTaken: false }));
    try {
      this.#probe?.close();
      this.#probe = atLink(
        this.place,
        (index, mac) =>
          new AddressProbe(this.poller, index, mac, ip, (isTaken) => {
            if (isTaken) this.#tell(new Error(`${ip} was lent, but somebody has it; it was declined`));
            this.#on({ kind: "probed", isTaken });
          }),
      );
    } catch (error) {
      this.#tell(error);
      queueMicrotask(() => this.#on({ kind: "probed", isTaken: false }));
    }
  }

  /** @returns undefined where there can be none, such as on a link that is gone */
  #openSocket() {
    if (this.#socket) return this.#socket;
    try {
      return (this.#socket = atLink(this.place, (index, mac) => {
        const link = new LinkSocket(index, linkProtocols.ipv4, toClients);
        const watch = this.poller.watch(link.fd, EPOLLIN, () => this.#receive());
        return { link, watch, who: { ...this.identity, mac } };
      }));
    } catch (error) {
      this.#tell(error);
      return undefined;
    }
  }

  #receive(): void {
    try {
      for (let count = 0; count < atOnce; count++) {
        const packet = this.#socket?.link.receive();
        if (!packet) return;
        this.#read(packet.bytes, packet.mac, packet.lacksChecksum);
      }
    } catch (error) {
      this.#tell(error); // such as that the link is down
      this.#closeSocket();
    }
  }

  #read(bytes: Buffer, from: string, lacksChecksum: boolean): void {
    try {
      const message = decodeMessage(decodeDatagram(bytes, lacksChecksum).payload);
      this.#on({ kind: "message", message, from });
    } catch (error) {
      if (!(error instanceof MalformedPacket)) throw error;
    }
  }

  /** The same trouble once. */
  #tell(error: unknown): void {
    const reason = describeError(error);
    if (reason === this.#trouble) return;
    this.#trouble = reason;
    this.events.onTrouble(reason);
  }

  #closeSocket(): void {
    this.#socket?.watch.close();
    this.#socket?.link.close();
    this.#socket = undefined;
  }
}

/** Gives a lease back: one message, which nobody answers. Throws what {@link atLink} throws, and LinuxError. */
export function releaseLease(place: LinkPlace, identity: ClientIdentity, lease: Lease): void {
  atLink(place, (index, mac) => {
    const link = new LinkSocket(index, linkProtocols.ipv4, [[0x06, 0, 0, 0]]); // takes nothing
    try {
      const { now, random } = moment();
      const exchange = { xid: Math.floor(random() * 0x100000000), since: now };
      send(link, release({ ...identity, mac }, exchange, now, lease), lease);
    } finally {
      link.close();
    }
  });
}

/** @param lease whose server it goes to; to all without */
function send(link: LinkSocket, message: Outgoing, lease: Lease | undefined): void {
  const payload = encodeMessage(message);
  const from = message.ciaddr ?? "0.0.0.0";
  const to = lease?.server ?? "255.255.255.255";
  link.send(encodeDatagram({ from, to, payload }), lease?.serverMac ?? broadcastMac);
}

function moment() {
  return { now: Date.now(), random: () => Math.random() };
}
