import { isIPv6 } from "node:net";
import type { Logger } from "pino";
import { checkPublication, type PublicationOptions } from "../../proxy/publication.js";
import { bindPort, hasIPv6 } from "../backend/host-ports.js";
import type { PublishRequest, UnpublishRequest } from "../control/ports.js";
import { describeError, errorCode, PontoonError } from "../errors.js";
import type { Change, Inventory } from "../inventory/inventory.js";
import { mappingsOf, matcherOf, parsePortSpec, portLabel, type BoundPort, type PortMapping } from "../inventory/port-spec.js";
import type { PublishedPort } from "../inventory/published.js";
import { containerNamed, unpublishable } from "../inventory/targets.js";
import type { Container } from "../inventory/types.js";
import { closeDescriptor } from "../linux/socket.js";
import { idOf, type BoundEntry, type Entry, type PublishedPorts } from "./published-ports.js";

const label = "pontoon.publish";
const retryEvery = 5000; // ms

/** A part of a container's label that is not published. */
export interface LabelFailure {
  readonly spec: string;
  /** What of the spec; undefined: all of it. */
  readonly mapping?: PortMapping;
  readonly reason: string;
}

/** Decides what is published: by command, and by the containers' labels. */
export class Publisher {
  /** By container. */
  readonly labelFailures = new Map<string, readonly LabelFailure[]>();
  readonly #names = new Map<string, string>();
  readonly #changed = new Set<string>();
  #queue: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #reviewing = false;
  #complete = false;
  #stopped = false;

  constructor(
    private readonly inventory: Inventory,
    private readonly ports: PublishedPorts,
    /** Address of publications that name none; undefined: all of both families. */
    private readonly ip: string | undefined,
    private readonly log: Logger,
  ) {
    inventory.onChange((change) => this.#onChange(change));
  }

  start(): void {
    this.#timer ??= setInterval(() => this.#retry(), retryEvery);
  }

  /** What is under way is finished; nothing is published any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#queue;
  }

  /** The inventory is complete: whoever is not in it does not exist. */
  inventoryIsComplete(): void {
    if (this.#complete) return;
    this.#complete = true;
    this.ports.followContainers();
    for (const { id } of this.inventory.containers.values()) this.#changed.add(id);
    this.#reviewSoon();
  }

  /**
   * Publishes all of a request or nothing. Rejects with NO_SUCH_CONTAINER, NOT_PUBLISHABLE, PORT_SPEC_INVALID, PORT_TAKEN and what
   * else keeps a port from being bound, PUBLICATION_INVALID, STORE_UNWRITABLE or SERVER_SILENT.
   */
  publish(request: PublishRequest): Promise<readonly Entry[]> {
    return this.#command(async () => {
      const container = this.#publishableContainer(request.container);
      const mappings = [...request.specs.flatMap((spec) => mappingsOf(parsePortSpec(spec))), ...(request.all === true ? exposedOf(container) : [])];
      if (mappings.length === 0) throw new PontoonError("NOT_PUBLISHABLE", container.name, `${container.name} exposes no port; name those to publish, such as 8080:80`);
      const options = optionsOf(request, mappings);
      return await this.ports.add(this.#bindAll(container.name, mappings, request.ip ?? this.ip, options, "command"));
    });
  }

  /** Frees ports. Rejects with NOT_PUBLISHED, PORT_SPEC_INVALID or STORE_UNWRITABLE; then nothing has changed. */
  unpublish({ container: nameOrId, specs }: UnpublishRequest): Promise<readonly Entry[]> {
    return this.#command(async () => {
      const name = containerNamed(this.inventory, nameOrId)?.name ?? nameOrId;
      const all = this.ports.all.filter(({ port }) => port.container === name);
      const own = all.filter(({ port }) => port.source === "command");
      const chosen = specs.length === 0 ? own : [...new Set(specs.flatMap((spec) => this.#chosen(name, all, own, spec)))];
      if (chosen.length === 0) throw new PontoonError("NOT_PUBLISHED", name, `\`pontoon publish\` has published nothing of ${name}; \`pontoon port\` shows what is published`);
      await this.ports.remove(chosen);
      return chosen;
    });
  }

  #chosen(name: string, all: readonly Entry[], own: readonly Entry[], spec: string): Entry[] {
    const isMeant = matcherOf(spec);
    const chosen = own.filter(({ port }) => isMeant(port));
    if (chosen.length > 0) return chosen;
    if (all.some(({ port }) => isMeant(port)))
      throw new PontoonError("NOT_PUBLISHED", name, `${spec} of ${name} is published by its label ${label}; change the label, and make the container anew`);
    throw new PontoonError("NOT_PUBLISHED", name, `pontoon does not publish ${spec} of ${name}; \`pontoon port\` shows what is published`);
  }

  #publishableContainer(nameOrId: string): Container {
    const container = containerNamed(this.inventory, nameOrId);
    if (!container) throw new PontoonError("NO_SUCH_CONTAINER", nameOrId, `no container is called ${nameOrId}; see \`docker ps --all\``);
    const reason = unpublishable(this.inventory, container);
    if (reason !== undefined) throw new PontoonError("NOT_PUBLISHABLE", container.name, reason);
    return container;
  }

  /** Binds all or none. */
  #bindAll(container: string, mappings: readonly PortMapping[], ip: string | undefined, options: PublicationOptions, source: PublishedPort["source"]): BoundEntry[] {
    const bound: BoundEntry[] = [];
    const claimed = new Map<string, PublishedPort>();
    try {
      for (const mapping of mappings)
        for (const entry of this.#bind(container, mapping, ip, options, source, claimed)) {
          bound.push(entry);
          claimed.set(idOf(entry.port), entry.port);
        }
      return bound;
    } catch (error) {
      for (const { descriptor } of bound) closeDescriptor(descriptor);
      throw error;
    }
  }

  #bind(container: string, mapping: PortMapping, defaultIp: string | undefined, options: PublicationOptions, source: PublishedPort["source"], besides: ReadonlyMap<string, PublishedPort> = new Map()): BoundEntry[] {
    const { transport, containerPort, hostPorts } = mapping;
    if (transport === "sctp") throw new PontoonError("NOT_PUBLISHABLE", container, `pontoon forwards TCP and UDP, not SCTP (${containerPort}/sctp); publish it with \`docker run -p\``);
    const ips = addressesOf(mapping.ip ?? defaultIp);
    const only = hostPorts?.first === hostPorts?.last ? hostPorts?.first : undefined;
    if (only !== undefined) for (const ip of ips) this.#requireUnclaimed(transport, ip, only, besides);
    const isClaimed = (hostPort: number) => ips.some((ip) => this.ports.entries.has(idOf({ transport, ip, hostPort })));
    try {
      return bindPort(transport, ips, hostPorts, isClaimed).map(({ ip, port: hostPort, descriptor }) => ({ port: { container, transport, ip, hostPort, containerPort, options, source }, descriptor }));
    } catch (error) {
      if (errorCode(error) === "PORT_TAKEN" && only !== undefined) this.#requireUnpublished(transport, ips, only);
      throw error;
    }
  }

  /** Throws PORT_TAKEN for a port that is ours already, bound or not. */
  #requireUnclaimed(transport: PublishedPort["transport"], ip: string, hostPort: number, besides: ReadonlyMap<string, PublishedPort>): void {
    const id = idOf({ transport, ip, hostPort });
    const owner = this.ports.entries.get(id)?.port ?? besides.get(id);
    if (owner) throw taken(transport, hostPort, `pontoon publishes it for ${owner.container} (${owner.containerPort}/${transport})`);
  }

  /** Throws PORT_TAKEN with the container's name if it is a container's port that is in the way. */
  #requireUnpublished(transport: PublishedPort["transport"], ips: readonly string[], hostPort: number): void {
    const isInTheWay = (port: BoundPort) => port.transport === transport && port.hostPort === hostPort && ips.some((ip) => overlap(ip, port.ip));
    const ours = this.ports.all.find(({ port, failure }) => failure === undefined && isInTheWay(port))?.port;
    if (ours) throw taken(transport, hostPort, `pontoon publishes it for ${ours.container} (${ours.containerPort}/${transport})`);
    for (const { name, running, published } of this.inventory.containers.values()) {
      const dockers = running ? published.find(isInTheWay) : undefined;
      if (dockers) throw taken(transport, hostPort, `Docker publishes it for ${name} (${dockers.containerPort}/${transport})`);
    }
  }

  #onChange({ containers, networks }: Change): void {
    for (const id of containers) this.#changed.add(id);
    // Of a network that comes or changes only the way to what is published may be different.
    if (this.ports.entries.size > 0) for (const id of networks) for (const container of this.inventory.containersOn(id)) this.#changed.add(container);
    this.#reviewSoon();
  }

  #reviewSoon(): void {
    if (this.#reviewing || !this.#complete) return;
    this.#reviewing = true;
    setImmediate(() => {
      this.#reviewing = false;
      const names = this.#takeChangedNames();
      // Whoever shares the namespace of one that moved has moved as well.
      this.ports.retarget((container) => names.has(container) || this.#sharesNamespace(container));
      void this.#inTurn(() => this.#reviewLabels(names));
    });
  }

  /** The names of what has changed, those they had before among them. */
  #takeChangedNames(): Set<string> {
    const names = new Set<string>();
    for (const id of this.#changed) {
      const [before, now] = [this.#names.get(id), this.inventory.containers.get(id)?.name];
      if (before !== undefined) names.add(before);
      if (now === undefined) this.#names.delete(id);
      else {
        names.add(now);
        this.#names.set(id, now);
      }
    }
    this.#changed.clear();
    return names;
  }

  #sharesNamespace(name: string): boolean {
    return this.inventory.named(name)?.networkMode.kind === "container";
  }

  async #reviewLabels(names: ReadonlySet<string>): Promise<void> {
    if (this.#stopped) return;
    const forgotten = this.ports.all.filter(({ port }) => port.source === "label" && !this.inventory.named(port.container)).map(({ port }) => port.container);
    let hasFreed = false;
    const review = async (name: string) => {
      const container = this.inventory.named(name);
      if (container?.partial === true) return; // its labels are not known yet
      try {
        if (await this.#reviewLabel(name, container)) hasFreed = true;
      } catch (error) {
        this.log.error({ container: name, reason: describeError(error) }, `label ${label} could not be followed`);
      }
    };
    for (const name of new Set([...names, ...forgotten])) await review(name);
    if (hasFreed) for (const name of [...this.labelFailures.keys()]) await review(name); // others may have waited for it
  }

  /** Publishes what a container's label asks for and is not published, and no more. @returns whether ports are free now */
  async #reviewLabel(name: string, container: Container | undefined): Promise<boolean> {
    const unused = new Set(this.ports.all.filter(({ port }) => port.source === "label" && port.container === name));
    const value = container?.labels[label] ?? "";
    if (unused.size === 0 && value === "") {
      this.labelFailures.delete(name);
      return false;
    }
    const failures: LabelFailure[] = [];
    const missing: { readonly spec: string; readonly mapping: PortMapping }[] = [];
    for (const spec of portLabel(value)) {
      try {
        const reason = container && unpublishable(this.inventory, container);
        if (reason !== undefined) throw new PontoonError("NOT_PUBLISHABLE", name, reason);
        for (const mapping of mappingsOf(parsePortSpec(spec))) {
          const there = this.#entriesFor(mapping, unused);
          if (there) for (const entry of there) unused.delete(entry);
          else missing.push({ spec, mapping });
        }
      } catch (error) {
        failures.push({ spec, reason: describeError(error) });
      }
    }
    await this.ports.remove([...unused]);
    for (const { spec, mapping } of missing) {
      try {
        await this.ports.add(this.#bind(name, mapping, this.ip, {}, "label"));
      } catch (error) {
        failures.push({ spec, mapping, reason: describeError(error) });
      }
    }
    this.#tellFailures(name, failures);
    return unused.size > 0;
  }

  /** Published ports that are what a mapping asks for; undefined unless there is one on each of its addresses. */
  #entriesFor(mapping: PortMapping, among: ReadonlySet<Entry>): Entry[] | undefined {
    const { transport, containerPort, hostPorts } = mapping;
    const ips = addressesOf(mapping.ip ?? this.ip);
    const fitting = [...among].filter(({ port }) => port.transport === transport && port.containerPort === containerPort && ips.includes(port.ip)
      && (hostPorts === undefined || (hostPorts.first <= port.hostPort && port.hostPort <= hostPorts.last)));
    for (const { port } of fitting) {
      const same = fitting.filter((entry) => entry.port.hostPort === port.hostPort);
      if (same.length === ips.length) return same;
    }
    return undefined;
  }

  #tellFailures(name: string, failures: readonly LabelFailure[]): void {
    const before = this.labelFailures.get(name) ?? [];
    for (const { spec, reason } of failures)
      if (!before.some((known) => known.spec === spec && known.reason === reason)) this.log.error({ container: name, spec, reason }, `label ${label}: a port is not published`);
    if (failures.length > 0) this.labelFailures.set(name, failures);
    else this.labelFailures.delete(name);
  }

  #retry(): void {
    this.ports.retry();
    if (this.labelFailures.size > 0 && this.#complete) void this.#inTurn(() => this.#reviewLabels(new Set(this.labelFailures.keys())));
  }

  /** Rejects with NO_DAEMON for what comes too late. */
  #command<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#stopped) return Promise.reject(new PontoonError("NO_DAEMON", "pontoon daemon", "the daemon is just ending; try again when one runs"));
    return this.#inTurn(work);
  }

  /** One after the other: each sees what the one before has done. */
  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }
}

function taken(transport: string, hostPort: number, by: string): PontoonError {
  return new PontoonError("PORT_TAKEN", `${transport} port ${hostPort}`, `${transport} port ${hostPort} is taken: ${by}; choose another`);
}

/** Docker publishes on all addresses of both families unless one is named. */
function addressesOf(ip: string | undefined): string[] {
  if (ip !== undefined) return [ip];
  return hasIPv6() ? ["0.0.0.0", "::"] : ["0.0.0.0"];
}

/** Whether two addresses cannot be bound to one port. */
function overlap(one: string, other: string): boolean {
  if (isIPv6(one) !== isIPv6(other)) return false;
  return one === other || [one, other].some((ip) => ip === "0.0.0.0" || ip === "::");
}

function exposedOf({ ports }: Container): PortMapping[] {
  return ports.map(([containerPort, transport]) => ({ ip: undefined, hostPorts: undefined, containerPort, transport }));
}

/** Throws PUBLICATION_INVALID for options that do not fit all of the ports. */
function optionsOf({ options = {}, container }: PublishRequest, mappings: readonly PortMapping[]): PublicationOptions {
  const listen = { ip: "0.0.0.0", port: 1 };
  const transports = new Set(mappings.map(({ transport }) => transport));
  for (const protocol of ["tcp", "udp"] as const) if (transports.has(protocol)) checkPublication({ id: container, protocol, listen, options });
  return options;
}
