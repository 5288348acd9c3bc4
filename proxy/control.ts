import { errorCode, PontoonError } from "../src/errors.js";
import { readFirstToServer, type HeldAll, type Hello } from "../src/first-words.js";
import { EPOLLIN } from "../src/linux/constants.js";
import { PacketChannel } from "../src/linux/packet-channel.js";
import { acceptSocket, closeDescriptor, peerCredentials, WOULD_BLOCK } from "../src/linux/socket.js";
import type { Deadline } from "../src/linux/wheel.js";
import { readToProxy } from "./messages.js";
import { PROTOCOL, type HeldPublication, type ToDaemon } from "./protocol.js";
import type { Endpoint, Publication } from "./publication.js";
import type { PublicationReport } from "./relay.js";
import type { ProxyServer } from "./server.js";
import { isOfShim } from "./shims.js";

type Outgoing = Hello | HeldPublication | HeldAll | ToDaemon;

/** Without a daemon and without anything to serve a proxy is of no use: after this long, ms, it ends. */
const idleTime = 60_000;
/** Publications reported, or handed back, in one piece; and how many messages may wait until the daemon reads them. */
const slice = 100;
const backlogAtMost = 500;
const backlogLookedAtEvery = 5; // ms

interface Held {
  readonly publication: Publication;
  readonly descriptor: number;
}

/**
 * The proxy's end of the control socket. One daemon at a time steers it: the newest. Without one everything that is open
 * stays open.
 */
export class Control {
  #channel: PacketChannel<unknown, Outgoing> | undefined;
  /** What daemons opened; publications of shims are none of theirs. */
  readonly #held = new Map<string, Held>();
  #mentioned: Set<string> | undefined;
  #idle: Deadline | undefined;
  /** Another process serves from now on. */
  #isLeaving = false;

  constructor(
    private readonly server: ProxyServer,
    private readonly identity: { readonly version: string; readonly stop: () => void; readonly drain: () => void },
  ) {}

  /** Accepts daemons on a listening socket. */
  listen(fd: number): void {
    this.server.reactor.poller.watch(fd, EPOLLIN, () => {
      const accepted = acceptSocket(fd);
      if (accepted === WOULD_BLOCK) return;
      if (peerCredentials(accepted).uid !== 0) return closeDescriptor(accepted);
      this.#attach(accepted);
    });
  }

  /** Tells why a shim was sent to Docker's own docker-proxy. */
  declined(reason: string): void {
    this.#tell({ kind: "declined", reason });
  }

  /** Says something to whoever runs the host. */
  notice(reason: string): void {
    this.#tell({ kind: "notice", reason });
  }

  /** Tells why connections of a publication fail. */
  failedDials(id: string, reason: string): void {
    this.#tell({ kind: "failed-dials", id, reason });
  }

  /** Whether there is a daemon that starts bulk workers for us. */
  get canStartWorkers(): boolean {
    return this.#channel !== undefined && !this.#isLeaving;
  }

  /** Asks for bulk workers. */
  wantWorkers(count: number): void {
    for (let asked = 0; asked < count; asked++) this.#tell({ kind: "want-worker" });
  }

  #attach(fd: number): void {
    this.#channel?.close();
    this.server.shims.hasDaemon = true;
    this.#idle?.cancel();
    this.#mentioned = undefined;
    this.#channel = new PacketChannel<unknown, Outgoing>(this.server.reactor.poller, fd, {
      bearsLoss: true,
      onMessage: (message, descriptors) => this.#onMessage(message, descriptors),
      onClose: () => {
        this.#channel = undefined;
        this.server.shims.hasDaemon = false;
        this.#mentioned = undefined;
        this.#endWhenIdle();
      },
    });
  }

  #endWhenIdle(): void {
    this.#idle = this.server.reactor.wheel.in(idleTime, () => {
      if (this.server.isIdle) this.identity.stop();
      else this.#endWhenIdle();
    });
  }

  #tell(message: Outgoing, descriptors: readonly number[] = []): void {
    this.#channel?.send(message, descriptors);
  }

  #onMessage(value: unknown, descriptors: number[]): void {
    const message = readFirstToServer(value) ?? readToProxy(value);
    if (message?.kind === "open") return this.#onOpen(message.publication, descriptors);
    if (message?.kind === "worker" && descriptors.length === 1) return this.server.workers.add(descriptors[0]!);
    descriptors.forEach(closeDescriptor);
    switch (message?.kind) {
      case "hello":
        return this.#onHello(message.protocol);
      case "settings":
        this.server.shims.drainMs = message.settings.drainMs;
        if (message.settings.sourcePorts) this.server.sourcePorts.span = message.settings.sourcePorts;
        return;
      case "keep":
        this.#mentioned?.add(message.id);
        return this.#retarget(message.id, message.target);
      case "retarget":
        return this.#retarget(message.id, message.target);
      case "avoid":
        this.#avoid(new Set(message.ports));
        return this.#tell({ kind: "avoided", request: message.request });
      case "gone":
        return this.server.publications.gone(new Set(message.addresses));
      case "close":
        this.#close(message.id);
        return this.#tell({ kind: "closed", id: message.id });
      case "synced":
        return this.#onSynced();
      case "report":
        return this.#report(message.request);
      case "ping":
        return this.#tell({ kind: "pong", request: message.request });
      case "drain":
        this.#isLeaving = true;
        this.#held.clear();
        return this.identity.drain();
      case "stop":
        return this.identity.stop();
      case "worker":
      case undefined: // of a daemon of another version
        return;
    }
  }

  #onHello(protocol: number): void {
    this.#tell({ kind: "hello", protocol: PROTOCOL, version: this.identity.version, pid: process.pid });
    if (protocol === PROTOCOL) this.#mentioned = new Set();
    const held = this.#held.values();
    this.#inSlices(() => {
      for (let count = 0; count < slice; count++) {
        const { value, done } = held.next();
        if (done === true) {
          this.#tell({ kind: "held-all" });
          return true;
        }
        this.#tell({ kind: "held", publication: value.publication }, [value.descriptor]);
      }
      return false;
    });
  }

  #report(request: number): void {
    const reports = this.server.publications.reports();
    let shims = 0;
    this.#inSlices(() => {
      const publications: PublicationReport[] = [];
      while (publications.length < slice) {
        const { value } = reports.next();
        if (!value) break;
        publications.push(value);
        if (isOfShim(value.id)) shims++;
      }
      const more = publications.length === slice;
      this.#tell({ kind: "reported", request, report: this.server.report(publications, shims), ...(more && { more }) });
      return !more;
    });
  }

  /** Does something piece by piece, as fast as the daemon reads, for as long as it is there. @param piece returns whether it was the last */
  #inSlices(piece: () => boolean): void {
    const channel = this.#channel;
    const { wheel, poller } = this.server.reactor;
    const go = () => {
      if (!channel || channel !== this.#channel) return;
      if (channel.backlog > backlogAtMost) wheel.in(backlogLookedAtEvery, go);
      else if (!piece()) poller.soon(go);
    };
    go();
  }

  #onOpen(publication: Publication, [descriptor, ...others]: number[]): void {
    others.forEach(closeDescriptor);
    const { id } = publication;
    try {
      if (descriptor === undefined)
        throw new PontoonError(
          "DESCRIPTORS_EXHAUSTED",
          id,
          "no descriptor is left in pontoon-proxy; publish fewer ports, or raise the limit (LimitNOFILE= of the service)",
        );
      this.server.publications.open(publication, descriptor);
      this.#held.set(id, { publication, descriptor });
      this.#mentioned?.add(id);
      this.#tell({ kind: "opened", id });
    } catch (error) {
      if (descriptor !== undefined) closeDescriptor(descriptor);
      this.#tell({ kind: "failed", id, code: errorCode(error) ?? "INTERNAL", message: (error as Error).message });
    }
  }

  #retarget(id: string, target: Endpoint | undefined): void {
    const held = this.#held.get(id);
    if (!held) return;
    this.#held.set(id, { ...held, publication: { ...held.publication, target } });
    try {
      this.server.publications.retarget(id, target);
    } catch (error) {
      // Somebody else has come to hold the port, or the address is nonsense: it cannot be served as it is.
      this.#close(id);
      this.#tell({ kind: "failed", id, code: errorCode(error) ?? "INTERNAL", message: (error as Error).message });
    }
  }

  #avoid(ports: ReadonlySet<number>): void {
    const { sourcePorts, publications } = this.server;
    sourcePorts.avoided = ports;
    if ([...ports].some((port) => sourcePorts.isUsed(port))) publications.vacate(ports);
  }

  #close(id: string): void {
    if (this.#held.delete(id)) this.server.publications.close(id);
  }

  #onSynced(): void {
    const mentioned = this.#mentioned;
    this.#mentioned = undefined;
    if (mentioned) for (const id of [...this.#held.keys()]) if (!mentioned.has(id)) this.#close(id);
  }
}
