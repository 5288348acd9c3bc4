import type { Logger } from "pino";
import { overlap } from "../../common/address.js";
import type { PortSpan } from "../../proxy/dial/source-ports.js";
import { bindPort, hasIPv6, PortTaken } from "./bind.js";
import { describeError } from "../../common/errors.js";
import { idOf, type Binding, type BoundEntry, type Entry, type Way } from "./entry.js";
import type { Inventory } from "../inventory/inventory.js";
import type { PortRange } from "./spec.js";
import type { EndpointTarget, PublishedPort } from "./published-port.js";
import { addressesOf, defaultAddresses } from "../inventory/targets.js";
import type { Container, DockerPort } from "../inventory/types.js";
import { inSlices, type Pieces } from "../../linux/pieces.js";
import { closeDescriptor } from "../../linux/socket.js";
import type { PublicationStore } from "./publication-store.js";
import type { ProxyClient } from "./proxy-client.js";
import { portOf, publicationOf, trueSockets, type Inherited } from "./served-ports.js";
import { portsIn } from "./wanted-ports.js";
import { TakenPorts } from "./taken-ports.js";
import { wayOf } from "./way.js";

/** Who asked for a port, for messages. */
const askers = {
  command: "`pontoon publish`",
  label: "its label pontoon.publish",
  driver: "`docker run -p`",
} as const satisfies Record<PublishedPort["source"], string>;

/** Ports opened before it is waited until pontoon-proxy has them. */
const openedAtOnce = 100;

/**
 * The ports pontoon publishes itself: bound, remembered, served by pontoon-proxy, and always led to where their container
 * is. One whose container is down refuses clients and keeps its port.
 */
export class PublishedPorts {
  readonly #entries = new Map<string, Entry>();
  /** Who has the ports that cannot be bound. */
  readonly taken: TakenPorts;
  #remembered: readonly PublishedPort[] = [];

  constructor(
    private readonly inventory: Inventory,
    private readonly proxy: Pick<ProxyClient, "open" | "close" | "retarget" | "gone" | "vacate">,
    private readonly store: Pick<PublicationStore, "load" | "save"> & Partial<Pick<PublicationStore, "hasLost">>,
    private readonly settings: { readonly drainMs: number; readonly sourcePorts: PortSpan },
    private readonly log: Logger,
    /** Whether dockerd has a userland proxy. */
    private readonly userlandProxy: () => boolean = () => true,
    /** Ports, or where they lead, are others now. */
    private readonly onChanged: () => void = () => undefined,
  ) {
    this.taken = new TakenPorts(inventory, () =>
      this.all.filter(({ failure }) => failure === undefined).map(({ port }) => port),
    );
  }

  get entries(): ReadonlyMap<string, Entry> {
    return this.#entries;
  }

  get all(): Entry[] {
    return [...this.#entries.values()];
  }

  /** Where Docker would bind ports of a container that name no address. */
  bindingOf(container: Container | undefined): Binding {
    const host = { hasIPv6: hasIPv6(), userlandProxy: this.userlandProxy() };
    return { ...(container ? defaultAddresses(this.inventory, container, host) : { ips: [] }), byDefault: true };
  }

  /** For whom we hold a port that dockerd could not bind, for messages; empty when we do not. */
  holderOf({ transport, ip, hostPort }: DockerPort): string {
    const holder = this.all.find(
      ({ port, failure }) =>
        failure === undefined && port.transport === transport && port.hostPort === hostPort && overlap(port.ip, ip),
    )?.port;
    if (!holder) return "";
    const port = `${holder.containerPort}/${holder.transport}`;
    return `: opened for ${holder.container} (${port}) by ${askers[holder.source]}`;
  }

  /** Reads what is to be published. Throws STORE_UNREADABLE. */
  load(): void {
    this.#remembered = this.store.load();
  }

  /** Whether anything is to be published. */
  get hasRemembered(): boolean {
    return this.#remembered.length > 0;
  }

  /**
   * Publishes what was read: with the sockets an earlier daemon left if there are any, which happens at once, and bound
   * anew else. Never rejects.
   */
  async restore(inherited: readonly Inherited[]): Promise<void> {
    const left = trueSockets(inherited);
    const unbound: Entry[] = [];
    for (const port of this.#remembered) {
      const id = idOf(port);
      const before = left.get(id);
      left.delete(id);
      const entry: Entry = { port, failure: undefined, target: before?.publication.target };
      this.#entries.set(id, entry);
      if (before) void this.#serve(entry, before.descriptor);
      else unbound.push(entry);
    }
    if (this.store.hasLost === true) this.#takeFromProxy(left);
    for (const { descriptor } of left.values()) closeDescriptor(descriptor);
    await this.#bindAll(unbound);
  }

  /** What is served and was not remembered, as the list was lost or damaged. @param left loses what is taken */
  #takeFromProxy(left: Map<string, Inherited>): void {
    const taken: Entry[] = [];
    for (const [id, { publication, descriptor }] of left) {
      const port = portOf(publication, this.settings.drainMs);
      if (!port || idOf(port) !== id) continue;
      left.delete(id);
      const entry: Entry = { port, failure: undefined, target: publication.target };
      this.#entries.set(id, entry);
      taken.push(entry);
      void this.#serve(entry, descriptor);
    }
    if (taken.length === 0) return;
    this.log.warn(
      { ports: taken.length },
      "the list of published ports lacked ports that pontoon-proxy serves; they stay published",
    );
    try {
      this.#save();
    } catch (error) {
      this.log.error({ reason: describeError(error) }, "what is published cannot be remembered");
    }
  }

  /** Remembers and serves these, all or none. The descriptors are its from now on. Rejects with STORE_UNWRITABLE, or as {@link ProxyClient.open}. */
  async add(bound: readonly BoundEntry[]): Promise<Entry[]> {
    const entries = bound.map(({ port }): Entry => ({ port, failure: undefined, ...this.#wayOf(port) }));
    this.#remember(entries, bound);
    try {
      await this.#openAll(entries, bound);
      return entries;
    } catch (error) {
      await this.remove(entries);
      throw error;
    }
  }

  #remember(entries: readonly Entry[], bound: readonly BoundEntry[]): void {
    for (const entry of entries) this.#entries.set(idOf(entry.port), entry);
    try {
      this.#save();
    } catch (error) {
      for (const entry of entries) this.#entries.delete(idOf(entry.port));
      for (const { descriptor } of bound) closeDescriptor(descriptor);
      throw error;
    }
  }

  /** Rejects with the first failure; what was not opened by then is closed. */
  async #openAll(entries: readonly Entry[], bound: readonly BoundEntry[]): Promise<void> {
    for (let at = 0; at < entries.length; at += openedAtOnce) {
      const results = await Promise.allSettled(
        entries
          .slice(at, at + openedAtOnce)
          .map((entry, index) =>
            this.proxy.open(publicationOf(entry, this.settings.drainMs), bound[at + index]!.descriptor),
          ),
      );
      const failed = results.find((result) => result.status === "rejected");
      if (!failed) continue;
      for (const { descriptor } of bound.slice(at + openedAtOnce)) closeDescriptor(descriptor);
      throw failed.reason;
    }
  }

  /**
   * Remembers and serves groups of ports, each all or none. The descriptors are its from now on. Rejects with STORE_UNWRITABLE.
   * @returns why a group is not served, for each; undefined if it is
   */
  async addEach(groups: readonly (readonly BoundEntry[])[]): Promise<unknown[]> {
    const bound = groups.flat();
    if (bound.length === 0) return groups.map(() => undefined);
    const entries = bound.map(({ port }): Entry => ({ port, failure: undefined, ...this.#wayOf(port) }));
    this.#remember(entries, bound);
    const reasons: unknown[] = [];
    const unserved: Entry[] = [];
    let at = 0;
    for (const group of groups) {
      const own = entries.slice(at, at + group.length);
      at += group.length;
      reasons.push(
        await this.#openAll(own, group).then(
          () => undefined,
          (error: unknown) => (unserved.push(...own), error),
        ),
      );
    }
    await this.remove(unserved);
    return reasons;
  }

  /** Forgets these, and frees their ports. Rejects with STORE_UNWRITABLE; then they stay. @param successors remembered in their place */
  async remove(entries: readonly Entry[], successors: readonly Entry[] = []): Promise<void> {
    if (entries.length + successors.length === 0) return;
    for (const { port } of entries) this.#entries.delete(idOf(port));
    for (const entry of successors) this.#entries.set(idOf(entry.port), entry);
    try {
      this.#save();
    } catch (error) {
      for (const { port } of successors) this.#entries.delete(idOf(port));
      for (const entry of entries) this.#entries.set(idOf(entry.port), entry);
      throw error;
    }
    for (let at = 0; at < entries.length; at += openedAtOnce)
      await Promise.all(entries.slice(at, at + openedAtOnce).map(({ port }) => this.proxy.close(idOf(port))));
  }

  /**
   * Binds ports at other addresses: those there were are closed first, since the new ones may be among them. What cannot be
   * bound is tried again. Rejects with STORE_UNWRITABLE; then nothing has changed.
   */
  async replace(old: readonly Entry[], ports: readonly PublishedPort[]): Promise<void> {
    const entries = ports.map((port): Entry => ({ port, failure: undefined, target: undefined }));
    await this.remove(old, entries);
    await this.#bindAll(entries);
  }

  /**
   * Whether it is known where a container is, or that there is none of that name: whoever tells of it has told everything.
   * Until then targets are what an earlier daemon left.
   */
  knows(container: string): boolean {
    const known = this.inventory.named(container);
    return this.inventory.isComplete(known && [known.source]);
  }

  /** Looks again where these containers are, as far as that is known. */
  retarget(concerns: (container: string) => boolean): void {
    const left = new Set<string>();
    for (const entry of this.#entries.values()) {
      if (entry.port.endpoint || !concerns(entry.port.container) || !this.knows(entry.port.container)) continue;
      const { target, refusal } = this.#wayOf(entry.port);
      this.onChanged(); // whose it is may be known only now
      entry.refusal = refusal;
      if (target?.ip === entry.target?.ip) continue;
      if (entry.target) left.add(entry.target.ip);
      entry.target = target;
      this.proxy.retarget(idOf(entry.port), target);
    }
    if (left.size > 0) this.#tellGone(left);
  }

  /**
   * Of where ports led: also what a container lost before this daemon knew of it. An address that is still somebody's may be
   * one of the same container.
   */
  #tellGone(left: Set<string>): void {
    for (const container of this.inventory.containers.values())
      for (const address of addressesOf(container, this.inventory.gatewayOf(container.id))) left.delete(address);
    if (left.size > 0) this.proxy.gone([...left]);
  }

  /** What they lead to is called so now. */
  rename(entries: readonly Entry[], container: string): void {
    if (entries.length === 0) return;
    for (const entry of entries) entry.port = { ...entry.port, container };
    this.#save();
  }

  /** They lead to other addresses of the same endpoint now; to none while there are none. */
  move(entries: readonly Entry[], to: Omit<EndpointTarget, "id">): void {
    const left = new Set<string>();
    for (const entry of entries) {
      entry.port = { ...entry.port, endpoint: { id: entry.port.endpoint!.id, ...to } };
      const { target } = this.#wayOf(entry.port);
      if (target?.ip === entry.target?.ip) continue;
      if (entry.target) left.add(entry.target.ip);
      entry.target = target;
      this.proxy.retarget(idOf(entry.port), target);
    }
    if (left.size > 0) this.proxy.gone([...left]);
    if (entries.length > 0) this.#save();
  }

  /** A port is not served any more. */
  failed(id: string, reason: string): void {
    const entry = this.#entries.get(id);
    if (entry) entry.failure = reason;
    this.onChanged();
  }

  /** Tries again what could not be bound, or served. Never rejects. @returns whether anything is left */
  async retry(): Promise<boolean> {
    await this.#bindAll(this.all.filter(({ failure }) => failure !== undefined));
    return this.all.some(({ failure }) => failure !== undefined);
  }

  /** Has flows give up what is about to be bound. @returns undefined when there is nothing to wait for */
  makeRoom(
    wanted: readonly { readonly transport: string; readonly hostPorts: PortRange | undefined }[],
  ): Promise<void> | undefined {
    const ports = wanted.flatMap(({ transport, hostPorts }) =>
      transport === "udp" && hostPorts ? portsIn(hostPorts, this.settings.sourcePorts) : [],
    );
    return ports.length > 0 ? this.proxy.vacate(ports) : undefined;
  }

  async #bindAll(entries: readonly Entry[]): Promise<void> {
    const room = this.makeRoom(
      entries.map(({ port: { transport, hostPort } }) => ({
        transport,
        hostPorts: { first: hostPort, last: hostPort },
      })),
    );
    if (room) await room;
    const fresh = entries.filter(({ failure }) => failure === undefined);
    const taken: { readonly entry: Entry; readonly error: PortTaken }[] = [];
    for (let at = 0; at < entries.length; at += openedAtOnce) {
      const opened: Promise<void>[] = [];
      await inSlices(
        this.#bindEach(
          entries.slice(at, at + openedAtOnce),
          (entry, descriptor) => opened.push(this.#serve(entry, descriptor)),
          (entry, error) => taken.push({ entry, error }),
        ),
      );
      await Promise.all(opened);
    }
    const explained = await this.taken.explain(taken.map(({ error }) => error));
    for (const [index, { entry }] of taken.entries()) entry.failure = describeError(explained[index]);
    for (const { port, failure } of fresh)
      if (failure !== undefined)
        this.log.error(
          { container: port.container, reason: failure },
          "a published port cannot be bound; it is tried again",
        );
  }

  *#bindEach(
    entries: readonly Entry[],
    onBound: (entry: Entry, descriptor: number) => void,
    onTaken: (entry: Entry, error: PortTaken) => void,
  ): Pieces<void> {
    for (const entry of entries) {
      const { transport, ip, hostPort } = entry.port;
      if (this.#entries.get(idOf(entry.port)) !== entry) continue; // unpublished meanwhile
      try {
        const [bound] = yield* bindPort(transport, [ip], { first: hostPort, last: hostPort });
        entry.failure = undefined;
        Object.assign(entry, this.#wayOf(entry.port));
        this.taken.forget({ protocol: transport, address: { ip, port: hostPort } });
        onBound(entry, bound!.descriptor);
      } catch (error) {
        entry.failure = describeError(error);
        if (error instanceof PortTaken) onTaken(entry, error);
      }
      yield;
    }
  }

  async #serve(entry: Entry, descriptor: number): Promise<void> {
    this.onChanged();
    try {
      await this.proxy.open(publicationOf(entry, this.settings.drainMs), descriptor);
    } catch (error) {
      this.failed(idOf(entry.port), describeError(error));
    }
  }

  #wayOf(port: PublishedPort): Way {
    return wayOf(this.inventory, port, this.userlandProxy());
  }

  #save(): void {
    this.onChanged();
    this.store.save(this.all.map(({ port }) => port));
  }
}
