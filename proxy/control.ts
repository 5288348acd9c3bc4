import type { SocketAddress } from "../common/address.js";
import { errorCode, PontoonError } from "../common/errors.js";
import { closeDescriptor } from "../linux/socket.js";
import type { Timer } from "../linux/timer-wheel.js";
import { DaemonLink, SLICE, taken, type HeldMessage, type Known } from "../server/daemon-link.js";
import { readToProxy } from "./messages.js";
import { PROTOCOL, type HeldPublication, type ToDaemon, type ToProxy } from "./protocol.js";
import type { Publication } from "./publication/publication.js";
import type { ProxyServer } from "./server.js";
import { isOfShim } from "./shims/shims.js";

/** A proxy that has neither a daemon nor anything to serve ends after this time, ms. */
const idleTime = 60_000;
interface Held {
  readonly publication: Publication;
  readonly descriptor: number;
}

/** The proxy's end of the control socket. Without a daemon everything that is open stays open. */
export class Control {
  readonly #daemon: DaemonLink<HeldPublication, ToProxy, ToDaemon>;
  /** What daemons opened, without the publications of shims. */
  readonly #held = new Map<string, Held>();
  #idle: Timer | undefined;

  constructor(
    private readonly server: ProxyServer,
    private readonly identity: { readonly version: string; readonly stop: () => void; readonly drain: () => void },
  ) {
    this.#daemon = new DaemonLink(server.reactor, {
      protocol: PROTOCOL,
      version: identity.version,
      allowLostDescriptors: true,
      held: () => this.#heldMessages(),
      read: readToProxy,
      onAttached: () => this.#onAttached(),
      onDetached: () => this.#onDetached(),
      onMessage: (message, descriptors) => this.#onMessage(message, descriptors),
      drain: () => this.#drain(),
      stop: identity.stop,
    });
  }

  /** Accepts daemons on a listening socket. */
  listen(fd: number): void {
    this.#daemon.listen(fd);
  }

  /** Tells why a shim was sent to Docker's own docker-proxy. */
  declined(reason: string): void {
    this.#daemon.tell({ kind: "declined", reason });
  }

  /** Tells something to those who run the host. */
  notice(reason: string): void {
    this.#daemon.tell({ kind: "notice", reason });
  }

  /** Tells why connections of a publication fail. */
  failedDials(id: string, reason: string): void {
    this.#daemon.tell({ kind: "failed-dials", id, reason });
  }

  /** Asks for another bulk worker. */
  wantWorker(): void {
    this.#daemon.tell({ kind: "want-worker" });
  }

  #onAttached(): void {
    this.server.shims.hasDaemon = true;
    this.#idle?.cancel();
  }

  #onDetached(): void {
    this.server.shims.hasDaemon = false;
    this.#endWhenIdle();
  }

  #endWhenIdle(): void {
    this.#idle = this.server.reactor.timers.schedule(idleTime, () => {
      if (this.server.isIdle) this.identity.stop();
      else this.#endWhenIdle();
    });
  }

  #drain(): void {
    this.#held.clear();
    this.identity.drain();
  }

  *#heldMessages(): Generator<HeldMessage<HeldPublication>, undefined> {
    for (const { publication, descriptor } of this.#held.values())
      yield { message: { kind: "held", publication }, descriptors: [descriptor] };
    return undefined;
  }

  #onMessage(message: ToProxy, descriptors: number[]): void {
    if (message.kind === "open") return this.#onOpen(message.publication, descriptors);
    if (message.kind === "worker" && descriptors.length === 1) return this.server.workers.add(descriptors[0]!);
    descriptors.forEach(closeDescriptor);
    switch (message.kind) {
      case "settings":
        this.server.shims.drainMs = message.settings.drainMs;
        if (message.settings.sourcePorts) this.server.sourcePorts.span = message.settings.sourcePorts;
        return;
      case "keep":
        this.#daemon.mention(message.id);
        return this.#retarget(message.id, message.target);
      case "retarget":
        return this.#retarget(message.id, message.target);
      case "avoid":
        this.#avoid(new Set(message.ports));
        return void this.#daemon.tell({ kind: "avoided", request: message.request });
      case "gone":
        return this.server.publications.gone(new Set(message.addresses));
      case "close":
        this.#close(message.id);
        return void this.#daemon.tell({ kind: "closed", id: message.id });
      case "synced":
        return this.#onSynced();
      case "report":
        return this.#report(message.request);
      case "ping":
        return void this.#daemon.tell({ kind: "pong", request: message.request });
      case "worker":
        return;
    }
  }

  #report(request: number): void {
    const reports = this.server.publications.reports();
    let shims = 0;
    this.#daemon.inSlices(() => {
      const publications = taken(reports);
      shims += publications.filter(({ id }) => isOfShim(id)).length;
      const more = publications.length === SLICE;
      this.#daemon.tell({
        kind: "reported",
        request,
        report: this.server.report(publications, shims),
        ...(more && { more }),
      });
      return !more;
    });
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
      this.#daemon.mention(id);
      this.#daemon.tell({ kind: "opened", id });
    } catch (error) {
      if (descriptor !== undefined) closeDescriptor(descriptor);
      this.#daemon.tell({
        kind: "failed",
        id,
        code: errorCode(error) ?? "INTERNAL",
        message: (error as Error).message,
      });
    }
  }

  #retarget(id: string, target: SocketAddress | undefined): void {
    const held = this.#held.get(id);
    if (!held) return;
    this.#held.set(id, { ...held, publication: { ...held.publication, target } });
    try {
      this.server.publications.retarget(id, target);
    } catch (error) {
      // Somebody else holds the port by now, or the address makes no sense: it cannot be served as it is.
      this.#close(id);
      this.#daemon.tell({
        kind: "failed",
        id,
        code: errorCode(error) ?? "INTERNAL",
        message: (error as Error).message,
      });
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
    if (this.server.workers.size < this.server.workersWanted) this.wantWorker();
    this.#daemon.allTold(this.#known());
  }

  *#known(): Generator<Known> {
    for (const id of [...this.#held.keys()]) yield { key: id, forget: () => this.#close(id) };
  }
}
