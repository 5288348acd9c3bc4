import type { Logger } from "pino";
import { checkPublication, type PublicationOptions } from "../../proxy/publication/publication.js";
import { bindPort, PortTaken } from "./bind.js";
import type { PublishRequest, UnpublishRequest } from "./contract.js";
import { describeError, PontoonError } from "../../common/errors.js";
import type { Change, Inventory } from "../inventory/inventory.js";
import { countOf, mappingsOf, matcherOf, parsePortSpec, portLabel, type PortMapping } from "./spec.js";
import type { PublishedPort } from "./published-port.js";
import { containerNamed, reachOf, unpublishable } from "../inventory/targets.js";
import type { Container } from "../inventory/types.js";
import { inSlices, type Pieces } from "../../linux/pieces.js";
import { closeDescriptor } from "../../linux/socket.js";
import { idOf, type Binding, type BoundEntry, type Entry, type PublishedPorts } from "./published-ports.js";
import { takenBy } from "./taken-ports.js";

const label = "pontoon.publish";
/** Until what failed is tried again, ms; longer when trying takes long, so that it takes a hundredth of the time. */
const retryAfter = 5000;
const retryShare = 100;
/** Ports of the container that one request may publish, and that one label may. */
const portsOfRequest = 16_384;
const portsOfLabel = 4096;
/** What a label may name, each with any number of ports. */
const specsOfLabel = 1000;
const labelLength = 65_536; // characters

/** A part of a container's label that is not published. */
export interface LabelFailure {
  readonly spec: string;
  /** What of the spec; undefined: all of it. */
  readonly mapping?: PortMapping;
  readonly reason: string;
}

/** A port that a label asks for, and that is not published yet. */
interface MissingPort {
  readonly spec: string;
  readonly mapping: PortMapping;
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
    /** Address of publications that name none; undefined: where Docker would bind them. */
    private readonly ip: string | undefined,
    private readonly log: Logger,
  ) {
    inventory.onChange((change) => this.#onChange(change));
  }

  start(): void {
    this.#timer ??= setTimeout(() => void this.#retry(), retryAfter);
  }

  /** What is under way is finished; nothing is published any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
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
   * Publishes all of a request or nothing. Rejects with NO_SUCH_CONTAINER, NOT_PUBLISHABLE, PORT_SPEC_INVALID, TOO_MANY_PORTS, PORT_TAKEN and what
   * else keeps a port from being bound, PUBLICATION_INVALID, STORE_UNWRITABLE or SERVER_SILENT.
   */
  publish(request: PublishRequest): Promise<readonly Entry[]> {
    return this.#command(async () => {
      const container = this.#publishableContainer(request.container);
      const specs = request.specs.map(parsePortSpec);
      if (request.all === true && container.excess)
        throw new PontoonError(
          "TOO_MANY_PORTS",
          container.name,
          `${container.name} cannot be published whole: ${container.excess.reason}; name the ports`,
        );
      const exposed = request.all === true ? exposedOf(container) : [];
      const count = specs.reduce((sum, spec) => sum + countOf(spec), exposed.length);
      if (count > portsOfRequest)
        throw new PontoonError(
          "TOO_MANY_PORTS",
          container.name,
          `${count} ports are more than pontoon publishes at once (${portsOfRequest}); publish fewer`,
        );
      const mappings = [...specs.flatMap(mappingsOf), ...exposed];
      if (mappings.length === 0)
        throw new PontoonError(
          "NOT_PUBLISHABLE",
          container.name,
          `${container.name} exposes no port; name those to publish, such as 8080:80`,
        );
      const options = optionsOf(request, mappings);
      const binding = this.#bindingOf(container, request.ip);
      return await this.ports.add(await this.#bindAll(container.name, mappings, binding, options));
    });
  }

  /** Frees ports. Rejects with NOT_PUBLISHED, PORT_SPEC_INVALID or STORE_UNWRITABLE; then nothing has changed. */
  unpublish({ container: nameOrId, specs }: UnpublishRequest): Promise<readonly Entry[]> {
    return this.#command(async () => {
      const name = containerNamed(this.inventory, nameOrId)?.name ?? nameOrId;
      const all = this.ports.all.filter(({ port }) => port.container === name);
      const own = all.filter(({ port }) => port.source === "command");
      const chosen =
        specs.length === 0 ? own : [...new Set(specs.flatMap((spec) => this.#chosen(name, all, own, spec)))];
      if (chosen.length === 0)
        throw new PontoonError(
          "NOT_PUBLISHED",
          name,
          `\`pontoon publish\` has published nothing of ${name}; \`pontoon port\` shows what is published`,
        );
      await this.ports.remove(chosen);
      return chosen;
    });
  }

  #chosen(name: string, all: readonly Entry[], own: readonly Entry[], spec: string): Entry[] {
    const isMeant = matcherOf(spec);
    const chosen = own.filter(({ port }) => isMeant(port));
    if (chosen.length > 0) return chosen;
    if (all.some(({ port }) => isMeant(port)))
      throw new PontoonError(
        "NOT_PUBLISHED",
        name,
        `${spec} of ${name} is published by its label ${label}; change the label, and make the container anew`,
      );
    throw new PontoonError(
      "NOT_PUBLISHED",
      name,
      `pontoon does not publish ${spec} of ${name}; \`pontoon port\` shows what is published`,
    );
  }

  /** @param ip named for what names none itself */
  #bindingOf(container: Container | undefined, ip = this.ip): Binding {
    return ip === undefined ? this.ports.bindingOf(container) : { ips: [ip], byDefault: false };
  }

  #publishableContainer(nameOrId: string): Container {
    const container = containerNamed(this.inventory, nameOrId);
    if (!container)
      throw new PontoonError(
        "NO_SUCH_CONTAINER",
        nameOrId,
        `no container is called ${nameOrId}; see \`docker ps --all\``,
      );
    const reason = unpublishable(this.inventory, container);
    if (reason !== undefined) throw new PontoonError("NOT_PUBLISHABLE", container.name, reason);
    return container;
  }

  /** Binds all or none. */
  async #bindAll(
    container: string,
    mappings: readonly PortMapping[],
    binding: Binding,
    options: PublicationOptions,
  ): Promise<BoundEntry[]> {
    const bound: BoundEntry[] = [];
    await this.ports.makeRoom(mappings);
    try {
      await inSlices(this.#bindEach(container, mappings, binding, options, bound));
      return bound;
    } catch (error) {
      for (const { descriptor } of bound) closeDescriptor(descriptor);
      throw error instanceof PortTaken ? (await this.ports.taken.explain([error], true))[0]! : error;
    }
  }

  *#bindEach(
    container: string,
    mappings: readonly PortMapping[],
    binding: Binding,
    options: PublicationOptions,
    bound: BoundEntry[],
  ): Pieces<void> {
    const claimed = new Map<string, PublishedPort>();
    for (const mapping of mappings) {
      for (const entry of yield* this.#bind(container, mapping, binding, options, "command", claimed)) {
        bound.push(entry);
        claimed.set(idOf(entry.port), entry.port);
      }
      yield;
    }
  }

  *#bind(
    container: string,
    mapping: PortMapping,
    binding: Binding,
    options: PublicationOptions,
    source: PublishedPort["source"],
    besides: ReadonlyMap<string, PublishedPort>,
  ): Pieces<BoundEntry[]> {
    const { transport, containerPort, hostPorts } = mapping;
    if (transport === "sctp")
      throw new PontoonError(
        "NOT_PUBLISHABLE",
        container,
        `pontoon forwards TCP and UDP, not SCTP (${containerPort}/sctp); publish it with \`docker run -p\``,
      );
    const ips = addressesOf(container, mapping, binding);
    const byDefault = mapping.ip === undefined && binding.byDefault;
    const only = hostPorts?.first === hostPorts?.last ? hostPorts?.first : undefined;
    if (only !== undefined) for (const ip of ips) this.#requireUnclaimed(transport, ip, only, besides);
    const isClaimed = (hostPort: number) => ips.some((ip) => this.ports.entries.has(idOf({ transport, ip, hostPort })));
    const bound = yield* bindPort(transport, ips, hostPorts, isClaimed);
    return bound.map(({ ip, port: hostPort, descriptor }) => {
      this.ports.taken.forget({ protocol: transport, address: { ip, port: hostPort } });
      return {
        port: { container, transport, ip, hostPort, containerPort, options, ...(byDefault && { byDefault }), source },
        descriptor,
      };
    });
  }

  /** Throws PORT_TAKEN for a port that is ours already, bound or not. */
  #requireUnclaimed(
    transport: PublishedPort["transport"],
    ip: string,
    hostPort: number,
    besides: ReadonlyMap<string, PublishedPort>,
  ): void {
    const id = idOf({ transport, ip, hostPort });
    const owner = this.ports.entries.get(id)?.port ?? besides.get(id);
    if (owner)
      throw takenBy(
        transport,
        hostPort,
        `pontoon publishes it for ${owner.container} (${owner.containerPort}/${transport})`,
      );
  }

  #onChange({ containers, networks }: Change): void {
    for (const id of containers) this.#changed.add(id);
    // Of a network that comes or changes, the way to what is published may be different, and where it is bound.
    if (this.#complete)
      for (const id of networks) for (const container of this.inventory.containersOn(id)) this.#changed.add(container);
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
      void this.#inTurn(async () => {
        await this.#reviewDefaults(names);
        await this.#reviewLabels(names);
      });
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

  /** Binds anew what was published by command without an address, where Docker would bind it at other addresses now. */
  async #reviewDefaults(names: ReadonlySet<string>): Promise<void> {
    if (this.#stopped) return;
    const movable = this.ports.all.filter(
      ({ port }) =>
        port.byDefault === true &&
        port.source === "command" &&
        (names.has(port.container) || this.#sharesNamespace(port.container)),
    );
    for (const name of new Set(movable.map(({ port }) => port.container))) {
      const container = this.inventory.named(name);
      if (!container || !this.#isReached(container)) continue;
      try {
        await this.#rebind(
          movable.filter(({ port }) => port.container === name),
          this.ports.bindingOf(container).ips,
        );
      } catch (error) {
        this.log.error(
          { container: name, reason: describeError(error) },
          "published ports could not be bound where Docker would bind them now",
        );
      }
    }
  }

  /** One that is down, or on its way from one network to the next, keeps its ports where they are. */
  #isReached(container: Container): boolean {
    return reachOf(this.inventory, container).kind === "reached";
  }

  async #rebind(entries: readonly Entry[], ips: readonly string[]): Promise<void> {
    if (ips.length === 0) return; // clients are refused, and the ports kept
    const old = entries.filter(({ port }) => !ips.includes(port.ip));
    const isKnown = (port: PublishedPort) => this.ports.entries.has(idOf(port));
    const ports = new Map(
      entries
        .flatMap(({ port }) => ips.map((ip) => ({ ...port, ip })))
        .filter((port) => !isKnown(port))
        .map((port) => [idOf(port), port]),
    );
    if (old.length > 0 || ports.size > 0) await this.ports.replace(old, [...ports.values()]);
  }

  async #reviewLabels(names: ReadonlySet<string>): Promise<void> {
    if (this.#stopped) return;
    const forgotten = this.ports.all
      .filter(({ port }) => port.source === "label" && !this.inventory.named(port.container))
      .map(({ port }) => port.container);
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
    const missing = this.#missing(name, container, value, unused, failures);
    await this.ports.remove([...unused]);
    await this.#addMissing(name, missing, failures);
    this.#tellFailures(name, failures);
    return unused.size > 0;
  }

  /** What a label asks for and is not there. @param unused loses what is there */
  #missing(
    name: string,
    container: Container | undefined,
    value: string,
    unused: Set<Entry>,
    failures: LabelFailure[],
  ): MissingPort[] {
    const missing: MissingPort[] = [];
    const there = new Map<string, Entry[]>();
    for (const entry of unused) {
      const known = there.get(sideOf(entry.port));
      if (known) known.push(entry);
      else there.set(sideOf(entry.port), [entry]);
    }
    const binding = this.#bindingOf(container);
    const isReached = container !== undefined && this.#isReached(container);
    let left = portsOfLabel;
    if (value.length > labelLength) {
      failures.push({
        spec: `${value.slice(0, 20)}…`,
        reason: `the label is longer than ${labelLength} characters; publish fewer ports (TOO_MANY_PORTS)`,
      });
      return missing;
    }
    const specs = portLabel(value);
    for (const spec of specs.slice(0, specsOfLabel)) {
      try {
        const reason = container && unpublishable(this.inventory, container);
        if (reason !== undefined) throw new PontoonError("NOT_PUBLISHABLE", name, reason);
        const parsed = parsePortSpec(spec);
        if (countOf(parsed) > left)
          throw new PontoonError(
            "TOO_MANY_PORTS",
            name,
            `it is left out: with it the label would publish more than ${portsOfLabel} ports`,
          );
        left -= countOf(parsed);
        for (const mapping of mappingsOf(parsed)) {
          const ips = addressesOf(name, mapping, binding);
          const known = (there.get(sideOf(mapping)) ?? []).filter((entry) => unused.has(entry));
          const entries =
            isReached || mapping.ip !== undefined
              ? entriesFor(mapping, ips, known)
              : (entriesFor(mapping, ips, known) ?? defaultsFor(mapping, known));
          if (entries) for (const entry of entries) unused.delete(entry);
          else missing.push({ spec, mapping });
        }
      } catch (error) {
        failures.push({ spec, reason: describeError(error) });
      }
    }
    const [first] = specs.slice(specsOfLabel);
    if (first !== undefined)
      failures.push({
        spec: first,
        reason: `it and what follows is left out: a label may name ${specsOfLabel} (TOO_MANY_PORTS)`,
      });
    return missing;
  }

  async #addMissing(name: string, missing: readonly MissingPort[], failures: LabelFailure[]): Promise<void> {
    const taken: { readonly port: MissingPort; readonly error: PortTaken }[] = [];
    const bound: { readonly port: MissingPort; readonly entries: BoundEntry[] }[] = [];
    const fail = (port: MissingPort, error: unknown) => failures.push({ ...port, reason: describeError(error) });
    await this.ports.makeRoom(missing.map(({ mapping }) => mapping));
    await inSlices(
      this.#bindMissing(
        name,
        missing,
        (port, entries) => bound.push({ port, entries }),
        (port, error) => {
          if (error instanceof PortTaken) taken.push({ port, error });
          else fail(port, error);
        },
      ),
    );
    const reasons = await this.ports.addEach(bound.map(({ entries }) => entries));
    for (const [index, { port }] of bound.entries()) if (reasons[index] !== undefined) fail(port, reasons[index]);
    const explained = await this.ports.taken.explain(taken.map(({ error }) => error));
    for (const [index, { port }] of taken.entries()) fail(port, explained[index]);
  }

  *#bindMissing(
    name: string,
    missing: readonly MissingPort[],
    onBound: (port: MissingPort, entries: BoundEntry[]) => void,
    onFailure: (port: MissingPort, error: unknown) => void,
  ): Pieces<void> {
    const claimed = new Map<string, PublishedPort>();
    const binding = this.#bindingOf(this.inventory.named(name));
    for (const port of missing) {
      try {
        const entries = yield* this.#bind(name, port.mapping, binding, {}, "label", claimed);
        for (const entry of entries) claimed.set(idOf(entry.port), entry.port);
        onBound(port, entries);
      } catch (error) {
        onFailure(port, error);
      }
      yield;
    }
  }

  #tellFailures(name: string, failures: readonly LabelFailure[]): void {
    const before = this.labelFailures.get(name) ?? [];
    for (const { spec, reason } of failures)
      if (!before.some((known) => known.spec === spec && known.reason === reason))
        this.log.error({ container: name, spec, reason }, `label ${label}: a port is not published`);
    if (failures.length > 0) this.labelFailures.set(name, failures);
    else this.labelFailures.delete(name);
  }

  async #retry(): Promise<void> {
    const began = performance.now();
    await this.#inTurn(async () => {
      await this.ports.retry();
      if (this.labelFailures.size > 0 && this.#complete) await this.#reviewLabels(new Set(this.labelFailures.keys()));
    });
    if (!this.#stopped)
      this.#timer = setTimeout(
        () => void this.#retry(),
        Math.max(retryAfter, (performance.now() - began) * retryShare),
      );
  }

  /** Rejects with NO_DAEMON for what comes too late. */
  #command<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#stopped)
      return Promise.reject(
        new PontoonError("NO_DAEMON", "pontoon daemon", "the daemon is just ending; try again when one runs"),
      );
    return this.#inTurn(work);
  }

  /** One after the other: each sees what the one before has done. */
  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }
}

/** What matters of a port on the container's side. */
function sideOf({ transport, containerPort }: Pick<PortMapping, "transport" | "containerPort">): string {
  return `${transport} ${containerPort}`;
}

/** Published ports that a mapping without an address asked for while its container was reached; undefined when there are none. */
function defaultsFor({ hostPorts }: PortMapping, among: readonly Entry[]): Entry[] | undefined {
  const [first] = among.filter(
    ({ port }) =>
      port.byDefault === true &&
      (hostPorts === undefined || (hostPorts.first <= port.hostPort && port.hostPort <= hostPorts.last)),
  );
  return first && among.filter(({ port }) => port.byDefault === true && port.hostPort === first.port.hostPort);
}

/** Published ports that are what a mapping asks for; undefined unless there is one on each of its addresses. */
function entriesFor({ hostPorts }: PortMapping, ips: readonly string[], among: readonly Entry[]): Entry[] | undefined {
  const fitting = among.filter(
    ({ port }) =>
      ips.includes(port.ip) &&
      (hostPorts === undefined || (hostPorts.first <= port.hostPort && port.hostPort <= hostPorts.last)),
  );
  for (const { port } of fitting) {
    const same = fitting.filter((entry) => entry.port.hostPort === port.hostPort);
    if (same.length === ips.length) return same;
  }
  return undefined;
}

/** Where a mapping is bound. Throws NOT_PUBLISHABLE when it names no address and Docker would bind it nowhere. */
function addressesOf(container: string, mapping: PortMapping, { ips, reason }: Binding): readonly string[] {
  if (mapping.ip !== undefined) return [mapping.ip];
  if (reason !== undefined) throw new PontoonError("NOT_PUBLISHABLE", container, reason);
  return ips;
}

function exposedOf({ ports }: Container): PortMapping[] {
  return ports.map(([containerPort, transport]) => ({ ip: undefined, hostPorts: undefined, containerPort, transport }));
}

/** Throws PUBLICATION_INVALID for options that do not fit all of the ports. */
function optionsOf({ options = {}, container }: PublishRequest, mappings: readonly PortMapping[]): PublicationOptions {
  const listen = { ip: "0.0.0.0", port: 1 };
  const transports = new Set(mappings.map(({ transport }) => transport));
  for (const protocol of ["tcp", "udp"] as const)
    if (transports.has(protocol)) checkPublication({ id: container, protocol, listen, options });
  return options;
}
