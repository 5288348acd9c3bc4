import type { Logger } from "pino";
import { describeError, errorCode } from "../../../../common/errors.js";
import type { SharedNetwork } from "../../../cluster/records.js";
import type { NewDockerNetwork } from "../../../inventory/driver-network.js";
import type { EngineCluster } from "../../overlay/engine-cluster.js";
import type { PluginRegistry } from "../plugin-registry.js";

/** What of dockerd twins need. */
export interface TwinEngine {
  /** Whether dockerd is there, and all its networks are known. */
  readonly isKnown: () => boolean;
  createNetwork(network: NewDockerNetwork): Promise<void>;
  /** Rejects when containers are on it. */
  removeNetwork(id: string): Promise<void>;
}

/** Looked at again so often, ms: a name, or a subnet, may be free by then. */
const reviewEvery = 30_000;

/**
 * Has this host's dockerd have a network of the same name for each network of all hosts that was made through Docker, and no more
 * than that. dockerd asks the driver meanwhile: nothing of this may be done in a turn.
 */
export class Twins {
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #isAsked = false;
  #isStopped = false;
  /** What was said of a network, so that it is said once. */
  readonly #said = new Map<string, string>();
  /** Networks whose names the others are being told, by dockerd's ids. */
  readonly #naming = new Set<string>();

  constructor(
    private readonly records: PluginRegistry,
    private readonly cluster: EngineCluster,
    /** Networks that this host has, by id. */
    private readonly registered: Pick<ReadonlyMap<string, unknown>, "has">,
    private readonly engine: TwinEngine,
    private readonly log: Logger,
  ) {}

  /** Compares soon. Returns at once. */
  review(): void {
    if (this.#isStopped) return;
    this.#isAsked = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Can be called twice. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#isAsked && !this.#isStopped) {
      this.#isAsked = false;
      clearTimeout(this.#timer);
      if (this.engine.isKnown()) await this.#compare();
    }
    const isOn = this.cluster.isOn && !this.#isStopped;
    if (isOn) this.#timer = setTimeout(() => this.review(), reviewEvery).unref();
  }

  async #compare(): Promise<void> {
    const known = this.cluster.networks;
    const twins = new Map(
      [...this.records.networks.values()].flatMap((each) => (each.shared ? [[each.shared, each]] : [])),
    );
    for (const network of known.values())
      if (network.docker?.isNamed === true && !twins.has(network.id)) await this.#make(network);
    for (const [shared, { id, name }] of twins)
      if (!this.registered.has(shared) && !known.has(shared)) await this.#remove(id, name);
    // Docker may have told a name before the network was heard of, or while the store was out of reach.
    for (const [shared, { id, name }] of twins) if (!id.startsWith(name)) await this.name(id, shared, name);
  }

  async #make(network: SharedNetwork): Promise<void> {
    try {
      await this.engine.createNetwork(newTwin(network));
      this.log.info({ network: network.name }, "dockerd has a network of all hosts");
      this.#said.delete(network.id);
    } catch (error) {
      this.#say(network.id, network.name, error, "dockerd cannot have a network of all hosts");
    }
  }

  async #remove(id: string, name: string): Promise<void> {
    try {
      await this.engine.removeNetwork(id);
      this.log.info({ network: name }, "a network was removed on another host, and from dockerd");
      this.#said.delete(id);
    } catch (error) {
      this.#say(id, name, error, "a network was removed on another host, and dockerd keeps it");
    }
  }

  #say(id: string, network: string, error: unknown, what: string): void {
    const reason = describeError(error);
    if (this.#said.get(id) === reason) return;
    this.#said.set(id, reason);
    this.log.warn({ network, reason }, what);
  }

  /**
   * Docker has told how a network is called that it has had made. Never rejects.
   * @param id dockerd's own
   */
  async name(id: string, shared: string, name: string): Promise<void> {
    const known = this.cluster.networks.get(shared);
    if (!known || known.docker?.isNamed === true) return; // a twin is called as the network was
    if (this.#naming.has(id)) return;
    this.#naming.add(id);
    await this.#name(id, shared, name);
    this.#naming.delete(id);
  }

  async #name(id: string, shared: string, name: string): Promise<void> {
    try {
      await this.cluster.nameNetwork(shared, name);
    } catch (error) {
      if (errorCode(error) === "NAME_TAKEN") return this.#yield(id, name);
      this.#say(id, name, error, "a network is not known by its name to other hosts yet");
    }
  }

  /** Another host was first: its network is to be had here, not this one. */
  async #yield(id: string, name: string): Promise<void> {
    this.log.error(
      { network: name },
      "there is a network of all hosts with that name already: the one that was just made here is removed, and that one taken",
    );
    try {
      await this.engine.removeNetwork(id);
      await this.cluster.offerToDocker(name);
    } catch (error) {
      this.#say(id, name, error, "a network has the name of one of all hosts, and is not shared; remove it");
    }
    this.review();
  }
}

function newTwin({ id, name, subnets, internal, docker }: SharedNetwork): NewDockerNetwork {
  return {
    name,
    driver: "pontoon",
    ipamDriver: "pontoon",
    internal,
    ipv6: subnets.some(({ subnet }) => subnet.includes(":")),
    options: { ...docker?.options, "pontoon.driver": "overlay", "pontoon.network": id },
    ipamOptions: { "pontoon.network": id },
    pools: subnets.map(({ subnet, gateway, ipRange }) => ({ subnet, gateway, ipRange })),
  };
}
