import { randomBytes } from "node:crypto";
import type { Logger } from "pino";
import { describeError, errorCode, PontoonError } from "../../common/errors.js";
import { defaultPools, uniqueLocalPool } from "../../network/addresses/pools.js";
import { isDockersBridge } from "../../network/docker-bridges.js";
import type { KernelForward } from "../../network/firewall/wanted.js";
import { differenceOfForwards } from "./forwards.js";
import type { Change, Outcome, Request } from "../../network/protocol.js";
import type { Source } from "../inventory/source.js";
import type { Poller } from "../../linux/poller.js";
import type { Store } from "../store/store.js";
import { Backend } from "./backend.js";
import { networkAnswer, sandboxAnswer } from "./answers.js";
import type {
  ConnectRequest,
  CreateNetworkRequest,
  CreateSandboxRequest,
  DisconnectRequest,
  NetworkAnswer,
  NetworkLinksAnswer,
  SandboxAnswer,
} from "./contract.js";
import { createNetworkRequest } from "./contract.js";
import { defineEndpoint } from "./define-endpoint.js";
import { defineNetwork } from "./define-network.js";
import { defineSandbox } from "./define-sandbox.js";
import { defaultNetwork, fixedNetworks, isFixed, requireBridge, requireRemovable } from "./fixed-networks.js";
import { hasLeftBridges, hostFacts } from "./host-facts.js";
import { tellInventory } from "./inventory-source.js";
import { NetworkAddresses } from "./network-addresses.js";
import { linkAccepts } from "./link-accepts.js";
import { linkVariables } from "./link-variables.js";
import { networkLinks } from "./network-links.js";
import { Queue } from "./queue.js";
import type { EndpointRecord, NetworkRecord, SandboxRecord } from "./records.js";
import { RuleWatch } from "./rule-watch.js";
import { SandboxWatch, type WatchedInode } from "./sandbox-watch.js";
import { Registry } from "./registry.js";
import { removeSandboxFiles, writeLinkedFiles, writeSandboxFiles } from "./sandbox-files.js";
import { takenSubnets, type SubnetUsers } from "./taken.js";
import { namespacePathOf, wantedEndpoints, wantedNetwork, wantedSandbox } from "./wanted.js";

/** A Linux bridge takes so many ports (`BR_MAX_PORTS` less one that is never used). */
const portsAtMost = 1023;

export interface NetworksControllerOptions {
  /** Subnets of Docker's networks, as far as they are known. */
  readonly dockerSubnets: () => SubnetUsers["dockerSubnets"];
}

/** The network backend role: pontoon's own networks, sandboxes and endpoints. Commands are carried out one after the other. */
export class NetworksController {
  readonly registry: Registry;
  readonly #addresses = new NetworkAddresses();
  readonly #queue = new Queue();
  readonly #rules: RuleWatch;
  readonly #sandboxWatch: SandboxWatch;
  /** Made when it is first needed: many hosts have no networks of pontoon's own. */
  #backend: Backend | undefined;
  #isStopped = false;
  #forwards: ReadonlyMap<string, KernelForward> = new Map();
  /** Why nothing can be done. */
  #problem: Error | undefined = new PontoonError(
    "NETWORKS_OFF",
    "network backend",
    "the daemon was started with --observe and changes nothing; start it without",
  );

  constructor(
    poller: Poller,
    store: Store,
    private readonly options: NetworksControllerOptions,
    private readonly log: Logger,
    private readonly source: Source,
  ) {
    this.registry = new Registry(store);
    this.#rules = new RuleWatch(poller, () => this.#mendFirewall());
    this.#sandboxWatch = new SandboxWatch(
      () => new Map([...this.registry.sandboxes.values()].map(watchedInode)),
      (paths) => this.#lookAtSandboxes(paths),
    );
  }

  #request(request: Request): Promise<Outcome> {
    if (this.#isStopped)
      return Promise.reject(new PontoonError("DAEMON_ENDING", "network backend", "the daemon is about to end"));
    this.#backend ??= new Backend({
      onWarning: (reason) => this.log.warn({ reason }, "something of the network backend failed"),
      onEnd: (reason) =>
        this.log.error({ reason }, "the network backend has ended: restart the daemon; what is connected stays so"),
    });
    return this.#backend.request(
      request.kind === "change"
        ? { kind: "change", change: { ...request.change, links: linkAccepts(this.registry) } }
        : request,
    );
  }

  /** Reads what there is to be, before anything is started. Without a store that can be read there are no networks. */
  load(): void {
    try {
      this.registry.load();
    } catch (error) {
      if (errorCode(error) !== "STORE_UNREADABLE") throw error;
      this.#problem = error as Error;
      this.log.error({ reason: describeError(error) }, "networks and sandboxes are left as they are");
      return;
    }
    this.#problem = undefined;
    for (const network of this.registry.networks.values()) this.#addAddresses(network);
  }

  /** Does what somebody asks for. */
  #command<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#queue.run(() => (this.#problem ? Promise.reject(this.#problem) : work()));
  }

  /** Brings about what is to be, and mends what is not as it should be. Never rejects. */
  start(): Promise<void> {
    if (this.#problem || (this.registry.isEmpty && !hasLeftBridges())) return Promise.resolve();
    return this.#queue.run(async () => {
      try {
        const { networks, sandboxes } = this.registry;
        await this.#request({
          kind: "change",
          change: {
            networks: [...networks.values()].map(wantedNetwork),
            sandboxes: [...sandboxes.values()].map(wantedSandbox),
            endpoints: [...sandboxes.keys()].flatMap((id) => this.#wantedEndpointsOf(id)),
          },
        });
        this.#note(await this.#request({ kind: "repair" }));
        for (const sandbox of sandboxes.values()) writeSandboxFiles(this.registry, sandbox);
      } catch (error) {
        if (errorCode(error) === "BACKEND_TAKEN") this.#problem = error as Error;
        this.log.error({ reason: describeError(error) }, "networks could not be set up");
      }
      this.#tell();
    });
  }

  stop(): Promise<void> {
    this.#sandboxWatch.stop();
    return this.#queue.run(async () => {
      this.#isStopped = true;
      await this.#rules.stop();
      await this.#backend?.request({ kind: "finish" }).catch((error: unknown) => {
        this.log.warn({ reason: describeError(error) }, "links could not be removed; the next daemon will");
      });
      await this.#backend?.stop();
    });
  }

  networks(): NetworkAnswer[] {
    const own = [...this.registry.networks.values()].map((network) => networkAnswer(this.registry, network));
    return [...own, ...fixedNetworks((name) => this.#isNetwork(name))];
  }

  network(nameOrId: string): NetworkAnswer {
    const fixed = fixedNetworks((name) => this.#isNetwork(name)).find(
      ({ Name, Id }) => Name === nameOrId || Id === nameOrId,
    );
    return fixed ?? networkAnswer(this.registry, this.registry.network(nameOrId));
  }

  #isNetwork(name: string): boolean {
    return [...this.registry.networks.values()].some((network) => network.name === name);
  }

  /** @param nameOrId all networks without */
  links(nameOrId: string | undefined): NetworkLinksAnswer[] {
    const networks = nameOrId === undefined ? [...this.registry.networks.values()] : [this.registry.network(nameOrId)];
    return networkLinks(this.registry, networks);
  }

  sandboxes(): SandboxAnswer[] {
    return [...this.registry.sandboxes.values()].map((sandbox) => sandboxAnswer(this.registry, sandbox));
  }

  sandbox(nameOrId: string): SandboxAnswer {
    return sandboxAnswer(this.registry, this.registry.sandbox(nameOrId));
  }

  /** What a program in it is told of sandboxes that it is linked to: `NAME=VALUE`. */
  sandboxEnvironment(nameOrId: string): string[] {
    return linkVariables(this.registry, this.registry.sandbox(nameOrId));
  }

  /** Rejects with a PontoonError that says what is wrong; nothing is left of it then. */
  createNetwork(request: CreateNetworkRequest): Promise<NetworkAnswer> {
    return this.#command(async () => networkAnswer(this.registry, await this.#createNetwork(request)));
  }

  async #createNetwork(request: CreateNetworkRequest): Promise<NetworkRecord> {
    const { networks } = this.registry;
    this.#requireFreeNetworkName(request.name);
    const facts = hostFacts(request.bridge);
    const network = defineNetwork(request, {
      ...facts,
      id: newId(),
      created: new Date().toISOString(),
      pools: { ipv4: defaultPools, ipv6: [uniqueLocalPool(facts.seed)] },
      taken: takenSubnets({
        ...facts,
        networks: networks.values(),
        dockerSubnets: this.options.dockerSubnets(),
      }),
      bridgesInUse: new Map([...networks.values()].map(({ name, bridge }) => [bridge, name])),
    });
    this.registry.commit({ networks: [network] });
    try {
      await this.#change({ networks: [wantedNetwork(network)] });
    } catch (error) {
      await this.#undo({ networks: [network.id] });
      throw error;
    }
    this.#addAddresses(network);
    this.#tell();
    return network;
  }

  #requireFreeNetworkName(name: string): void {
    const isReserved = isFixed(name) && name !== defaultNetwork.name;
    if (!isReserved && !this.#isNetwork(name)) return;
    throw new PontoonError(
      "NAME_TAKEN",
      name,
      `there is a network ${name} already; choose another name, or remove it first`,
    );
  }

  /** Rejects with NETWORK_IN_USE while sandboxes are on it. */
  removeNetwork(nameOrId: string): Promise<NetworkAnswer> {
    return this.#command(async () => {
      requireRemovable(nameOrId);
      const network = this.registry.network(nameOrId);
      const [endpoint, ...others] = this.registry.endpointsOf({ network: network.id });
      if (endpoint) {
        const { name } = this.registry.sandboxes.get(endpoint.sandbox)!;
        const more = others.length > 0 ? ` and ${others.length} more` : "";
        throw new PontoonError(
          "NETWORK_IN_USE",
          network.name,
          `network ${network.name} is in use by sandbox ${name}${more}; disconnect what is on it first`,
        );
      }
      return this.#removeNetwork(network);
    });
  }

  async #removeNetwork(network: NetworkRecord): Promise<NetworkAnswer> {
    const answer = networkAnswer(this.registry, network);
    await this.#change({ removed: { networks: [network.id] } });
    this.registry.commit({ removed: { networks: [network.id] } });
    this.#addresses.remove(network.id);
    this.#tell();
    return answer;
  }

  /** Removes networks that no sandbox is on. */
  pruneNetworks(): Promise<NetworkAnswer[]> {
    return this.#command(async () => {
      const unused = [...this.registry.networks.values()].filter(
        ({ id }) => this.registry.endpointsOf({ network: id }).length === 0,
      );
      const removed: NetworkAnswer[] = [];
      for (const network of unused) removed.push(await this.#removeNetwork(network));
      return removed;
    });
  }

  /** Rejects with a PontoonError that says what is wrong; nothing is left of it then. */
  createSandbox(request: CreateSandboxRequest): Promise<SandboxAnswer> {
    return this.#command(async () => {
      const sandbox = defineSandbox(request, this.registry, newId(), new Date().toISOString());
      const names = request.networks.length > 0 ? request.networks : [defaultNetwork.name];
      requireNothingElse(request);
      const networks: NetworkRecord[] = [];
      for (const name of names) if (name !== "none") networks.push(await this.#networkToJoin(name));
      this.registry.commit({ sandboxes: [sandbox] });
      try {
        await this.#change({ sandboxes: [{ ...wantedSandbox(sandbox), isFirst: true }] });
        for (const [index, network] of networks.entries())
          await this.#connect(network, this.registry.sandbox(sandbox.id), {
            network: network.id,
            sandbox: sandbox.id,
            ips: index === 0 ? request.ips : [],
            aliases: request.aliases,
            links: request.links,
            gatewayPriority: 0,
            ...(index === 0 && request.mac !== undefined && { mac: request.mac }),
          });
      } catch (error) {
        await this.#removeSandbox(sandbox).catch((left: unknown) =>
          this.log.warn(
            { sandbox: sandbox.name, reason: describeError(left) },
            "a sandbox that failed could not be removed",
          ),
        );
        throw error;
      }
      this.#writeFiles(sandbox);
      this.#tell();
      return sandboxAnswer(this.registry, this.registry.sandbox(sandbox.id));
    });
  }

  /** The default network is made when it is first asked for. */
  async #networkToJoin(nameOrId: string): Promise<NetworkRecord> {
    requireBridge(nameOrId);
    const isDefault =
      nameOrId === defaultNetwork.name && ![...this.registry.networks.values()].some(({ name }) => name === nameOrId);
    if (!isDefault) return this.registry.network(nameOrId);
    return this.#createNetwork(createNetworkRequest.parse(defaultNetwork));
  }

  removeSandbox(nameOrId: string): Promise<SandboxAnswer> {
    return this.#command(async () => {
      const sandbox = this.registry.sandbox(nameOrId);
      const answer = sandboxAnswer(this.registry, sandbox);
      await this.#removeSandbox(sandbox);
      return answer;
    });
  }

  async #removeSandbox(sandbox: SandboxRecord): Promise<void> {
    const endpoints = this.registry.endpointsOf({ sandbox: sandbox.id });
    const removed = { endpoints: endpoints.map(({ id }) => id), sandboxes: [sandbox.id] };
    await this.#change({ removed });
    this.registry.commit({ removed });
    for (const endpoint of endpoints) this.#addresses.release(endpoint.network, endpoint);
    removeSandboxFiles(sandbox);
    writeLinkedFiles(this.registry, sandbox);
    this.#tell();
  }

  #writeFiles(sandbox: SandboxRecord): void {
    writeSandboxFiles(this.registry, sandbox);
    writeLinkedFiles(this.registry, sandbox);
  }

  connect(request: ConnectRequest): Promise<SandboxAnswer> {
    return this.#command(async () => {
      const sandbox = this.registry.sandbox(request.sandbox);
      await this.#connect(await this.#networkToJoin(request.network), sandbox, request);
      this.#writeFiles(sandbox);
      this.#tell();
      return sandboxAnswer(this.registry, sandbox);
    });
  }

  async #connect(network: NetworkRecord, sandbox: SandboxRecord, request: ConnectRequest): Promise<void> {
    const endpoints = this.registry.endpointsOf({ network: network.id });
    if (endpoints.some((endpoint) => endpoint.sandbox === sandbox.id))
      throw new PontoonError(
        "ALREADY_CONNECTED",
        sandbox.name,
        `sandbox ${sandbox.name} is on network ${network.name} already`,
      );
    if (endpoints.length >= portsAtMost)
      throw new PontoonError(
        "NETWORK_FULL",
        network.name,
        `network ${network.name} has ${portsAtMost} sandboxes, and a Linux bridge has no more ports; use another network beside it`,
      );
    if (network.isAdopted && isDockersBridge(network.bridge) && request.ips.length === 0)
      throw new PontoonError(
        "ADDRESS_NEEDED",
        network.name,
        `addresses on ${network.bridge} are Docker's to give out; name one with --ip that Docker gives to nobody`,
      );
    const given = this.#addresses.give(network, `sandbox ${sandbox.name}`, request.ips);
    let endpoint: EndpointRecord | undefined;
    try {
      endpoint = defineEndpoint(request, this.registry, { network, sandbox, given, id: newId() });
      this.registry.commit({ endpoints: [endpoint] });
      await this.#change({ endpoints: this.#wantedEndpointsOf(sandbox.id) });
    } catch (error) {
      if (endpoint) await this.#undo({ endpoints: [endpoint.id] }, sandbox.id);
      this.#addresses.release(network.id, given);
      throw error;
    }
  }

  disconnect(request: DisconnectRequest): Promise<SandboxAnswer> {
    return this.#command(async () => {
      const [network, sandbox] = [this.registry.network(request.network), this.registry.sandbox(request.sandbox)];
      const [endpoint] = this.registry.endpointsOf({ network: network.id, sandbox: sandbox.id });
      if (!endpoint)
        throw new PontoonError(
          "NOT_CONNECTED",
          sandbox.name,
          `sandbox ${sandbox.name} is not on network ${network.name}`,
        );
      const removed = { endpoints: [endpoint.id] };
      this.registry.commit({ removed });
      await this.#change({ removed, endpoints: this.#wantedEndpointsOf(sandbox.id) });
      this.#addresses.release(network.id, endpoint);
      this.#writeFiles(sandbox);
      this.#tell();
      return sandboxAnswer(this.registry, sandbox);
    });
  }

  #tell(): void {
    tellInventory(this.source, this.registry);
    if (this.registry.sandboxes.size > 0) this.#sandboxWatch.start();
    if ([...this.registry.networks.values()].some(({ firewall }) => firewall)) this.#rules.start();
    else void this.#rules.stop();
  }

  /** Has the kernel forward these, and no others. @param forwards by any key that stays the same */
  setForwards(forwards: ReadonlyMap<string, KernelForward>): Promise<void> {
    return this.#queue.run(async () => {
      if (this.#isStopped || this.#problem) return;
      const changes = differenceOfForwards(this.#forwards, forwards);
      if (changes.add.length + changes.remove.length === 0) return;
      this.#forwards = forwards;
      try {
        this.#note(await this.#request({ kind: "forwards", changes }));
      } catch (error) {
        this.log.warn({ reason: describeError(error) }, "published ports are served by pontoon-proxy alone");
      }
    });
  }

  /** Somebody has changed rules of the host. */
  #mendFirewall(): Promise<void> {
    return this.#queue.run(async () => {
      if (this.#isStopped) return;
      try {
        this.#note(await this.#request({ kind: "mend-firewall" }));
      } catch (error) {
        this.log.warn({ reason: describeError(error) }, "the firewall's rules could not be looked at");
      }
    });
  }

  /** Namespaces have come, gone, or been replaced: those that came are connected again. */
  #lookAtSandboxes(paths: readonly string[]): Promise<void> {
    return this.#queue.run(async () => {
      const sandboxes = [...this.registry.sandboxes.values()].filter(({ name }) =>
        paths.includes(namespacePathOf(name)),
      );
      if (this.#isStopped || sandboxes.length === 0) return;
      let steps = 0;
      try {
        const outcome = await this.#request({
          kind: "look",
          sandboxes: sandboxes.map(({ id }) => id),
        });
        this.#note(outcome);
        steps = outcome.steps;
      } catch (error) {
        this.log.warn({ reason: describeError(error) }, "sandboxes could not be looked at");
      }
      for (const { id, name, inode } of sandboxes) {
        const known = this.registry.sandboxes.get(id)?.inode;
        if (known === inode && steps === 0) continue; // only its name was touched, by ourselves perhaps
        const isThere = known !== 0;
        this.log.info(
          { sandbox: name },
          isThere ? "a sandbox's network namespace is there again" : "a sandbox's network namespace has gone",
        );
      }
      this.#tell();
    });
  }

  #addAddresses(network: NetworkRecord): void {
    this.#addresses.add(
      network,
      this.registry.endpointsOf({ network: network.id }),
      ({ sandbox }) => `sandbox ${this.registry.sandboxes.get(sandbox)?.name}`,
    );
  }

  #wantedEndpointsOf(sandbox: string) {
    return wantedEndpoints(this.registry.endpointsOf({ sandbox }), (id) => this.registry.networks.get(id));
  }

  /** Has it done. Rejects with the first failure. */
  async #change(change: Change): Promise<void> {
    const outcome = await this.#request({ kind: "change", change });
    const [failure] = outcome.failures;
    this.#note({ ...outcome, failures: [] });
    if (failure) throw new PontoonError(failure.code, failure.subject, failure.message);
  }

  /** What has failed is taken back; what cannot be is tried again at the next start. */
  async #undo(removed: { networks?: string[]; endpoints?: string[] }, sandbox?: string): Promise<void> {
    this.registry.commit({ removed });
    const endpoints = sandbox === undefined ? [] : this.#wantedEndpointsOf(sandbox);
    const { failures } = await this.#request({ kind: "change", change: { removed, endpoints } });
    for (const { message } of failures)
      this.log.warn({ reason: message }, "what failed could not be taken back as a whole");
  }

  /** Which namespaces there are, as it was seen. */
  #note({ failures, inodes, notes }: Outcome): void {
    for (const note of notes) this.log.info(note);
    for (const { object, code, message } of failures)
      this.log.warn(
        { [object.kind]: object.id.slice(0, 12), code, reason: message },
        "not everything is as it should be",
      );
    const changed = [...inodes].flatMap(([id, inode]) => {
      const sandbox = this.registry.sandboxes.get(id);
      return sandbox && sandbox.inode !== inode ? [{ ...sandbox, inode }] : [];
    });
    if (changed.length > 0) this.registry.commit({ sandboxes: changed });
  }
}

function newId(): string {
  return randomBytes(32).toString("hex");
}

function watchedInode({ name, inode, namespace }: SandboxRecord): [string, WatchedInode] {
  return [namespacePathOf(name), { inode, only: namespace.kind === "adopted" ? namespace.inode : undefined }];
}

/** A sandbox on `none` has no place where anything else could be so. */
function requireNothingElse({ name, networks, ips, mac, aliases, links }: CreateSandboxRequest): void {
  const isAlone = networks.length === 1 && ips.length + aliases.length + links.length === 0 && mac === undefined;
  if (!networks.includes("none") || isAlone) return;
  throw new PontoonError(
    "NETWORK_FIXED",
    "none",
    `sandbox ${name} cannot be on the network none with other networks, addresses, aliases or links; leave out one or the other`,
  );
}
