import { isIPv6 } from "node:net";
import type { Logger } from "pino";
import type { Endpoint, Publication } from "../../proxy/publication.js";
import { bindPort } from "../backend/host-ports.js";
import { describeError } from "../errors.js";
import type { Inventory } from "../inventory/inventory.js";
import type { PublishedPort } from "../inventory/published.js";
import { addressIn } from "../inventory/targets.js";
import { closeDescriptor, localAddress } from "../linux/socket.js";
import { socketKind } from "../linux/socket-kind.js";
import type { PublicationStore } from "../store/publications.js";
import type { Inherited, ProxyRole } from "./proxy-role.js";

/** One published port, and how it is. */
export interface Entry {
  readonly port: PublishedPort;
  /** Why it could not be bound; it is tried again. */
  failure: string | undefined;
  target: Endpoint | undefined;
}

/** A published port with its socket. */
export interface BoundEntry {
  readonly port: PublishedPort;
  readonly descriptor: number;
}

export function idOf({ transport, ip, hostPort }: Pick<PublishedPort, "transport" | "ip" | "hostPort">): string {
  return `${transport} ${ip} ${hostPort}`;
}

/**
 * The ports pontoon publishes itself: bound, remembered, served by pontoon-proxy, and always led to where their container
 * is. One whose container is down refuses clients and keeps its port.
 */
export class PublishedPorts {
  readonly #entries = new Map<string, Entry>();
  #remembered: readonly PublishedPort[] = [];
  /** Until the inventory is complete, targets are what an earlier daemon left. */
  #knowsContainers = false;

  constructor(
    private readonly inventory: Inventory,
    private readonly proxy: Pick<ProxyRole, "open" | "close" | "retarget">,
    private readonly store: Pick<PublicationStore, "load" | "save">,
    private readonly drainMs: number,
    private readonly log: Logger,
  ) {}

  get entries(): ReadonlyMap<string, Entry> {
    return this.#entries;
  }

  get all(): Entry[] {
    return [...this.#entries.values()];
  }

  /** Reads what is to be published. Throws STORE_UNREADABLE. */
  load(): void {
    this.#remembered = this.store.load();
  }

  /** Whether anything is to be published. */
  get hasRemembered(): boolean {
    return this.#remembered.length > 0;
  }

  /** Publishes what was read: with the sockets an earlier daemon left if there are any, and bound anew else. */
  restore(inherited: readonly Inherited[]): void {
    const left = new Map<string, Inherited>();
    for (const each of inherited) {
      // A server that was broken into could pass on anything.
      if (isSocketOf(each)) left.set(each.publication.id, each);
      else closeDescriptor(each.descriptor);
    }
    for (const port of this.#remembered) {
      const id = idOf(port);
      const before = left.get(id);
      left.delete(id);
      const entry: Entry = { port, failure: undefined, target: before?.publication.target };
      this.#entries.set(id, entry);
      if (before) this.#serve(entry, before.descriptor);
      else this.#bind(entry);
    }
    for (const { descriptor } of left.values()) closeDescriptor(descriptor);
  }

  /** Remembers and serves these, all or none. The descriptors are its from now on. Rejects with STORE_UNWRITABLE, or as {@link ProxyRole.open}. */
  async add(bound: readonly BoundEntry[]): Promise<Entry[]> {
    const entries = bound.map(({ port }): Entry => ({ port, failure: undefined, target: this.#targetOf(port) }));
    for (const entry of entries) this.#entries.set(idOf(entry.port), entry);
    try {
      this.#save();
    } catch (error) {
      for (const entry of entries) this.#entries.delete(idOf(entry.port));
      for (const { descriptor } of bound) closeDescriptor(descriptor);
      throw error;
    }
    const results = await Promise.allSettled(entries.map((entry, index) => this.proxy.open(this.#publicationOf(entry), bound[index]!.descriptor)));
    const failed = results.find((result) => result.status === "rejected");
    if (!failed) return entries;
    await this.remove(entries);
    throw failed.reason;
  }

  /** Forgets these, and frees their ports. Rejects with STORE_UNWRITABLE; then they stay. */
  async remove(entries: readonly Entry[]): Promise<void> {
    if (entries.length === 0) return;
    for (const { port } of entries) this.#entries.delete(idOf(port));
    try {
      this.#save();
    } catch (error) {
      for (const entry of entries) this.#entries.set(idOf(entry.port), entry);
      throw error;
    }
    await Promise.all(entries.map(({ port }) => this.proxy.close(idOf(port))));
  }

  /** From now on the inventory tells where every container is. */
  followContainers(): void {
    if (this.#knowsContainers) return;
    this.#knowsContainers = true;
    this.retarget(() => true);
  }

  /** Looks again where these containers are. */
  retarget(concerns: (container: string) => boolean): void {
    if (!this.#knowsContainers) return;
    for (const entry of this.#entries.values()) {
      if (!concerns(entry.port.container)) continue;
      const target = this.#targetOf(entry.port);
      if (target?.ip === entry.target?.ip) continue;
      entry.target = target;
      this.proxy.retarget(idOf(entry.port), target);
    }
  }

  /** A port is not served any more. */
  failed(id: string, reason: string): void {
    const entry = this.#entries.get(id);
    if (entry) entry.failure = reason;
  }

  /** Tries again what could not be bound, or served. @returns whether anything is left */
  retry(): boolean {
    for (const entry of this.#entries.values()) if (entry.failure !== undefined) this.#bind(entry);
    return this.all.some(({ failure }) => failure !== undefined);
  }

  #bind(entry: Entry): void {
    const { transport, ip, hostPort, container } = entry.port;
    try {
      const [bound] = bindPort(transport, [ip], { first: hostPort, last: hostPort });
      entry.failure = undefined;
      entry.target = this.#targetOf(entry.port);
      this.#serve(entry, bound!.descriptor);
    } catch (error) {
      const reason = describeError(error);
      if (entry.failure === undefined) this.log.error({ container, reason }, "a published port cannot be bound; it is tried again");
      entry.failure = reason;
    }
  }

  #serve(entry: Entry, descriptor: number): void {
    void this.proxy.open(this.#publicationOf(entry), descriptor).catch((error: unknown) => this.failed(idOf(entry.port), describeError(error)));
  }

  #publicationOf({ port, target }: Entry): Publication {
    const { transport, ip, hostPort, options } = port;
    return { id: idOf(port), protocol: transport, listen: { ip, port: hostPort }, options: { drainMs: this.drainMs, ...options }, ...(target && { target }) };
  }

  #targetOf({ container: name, ip, containerPort }: PublishedPort): Endpoint | undefined {
    const container = this.inventory.named(name);
    const address = container && addressIn(this.inventory, container, isIPv6(ip) ? "ipv6" : "ipv4");
    return address === undefined ? undefined : { ip: address, port: containerPort };
  }

  #save(): void {
    this.store.save(this.all.map(({ port }) => port));
  }
}

function isSocketOf({ publication: { protocol, listen }, descriptor }: Inherited): boolean {
  try {
    const { ip, port } = localAddress(descriptor);
    return ip === listen.ip && port === listen.port && socketKind(descriptor).type === (protocol === "tcp" ? "stream" : "datagram");
  } catch {
    return false;
  }
}
