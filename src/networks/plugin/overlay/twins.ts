import { setTimeout as pause } from "node:timers/promises";
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

/** A network is new for so long after it was made, ms: dockerd tells its name within milliseconds. */
const newTime = 30_000;
/** ms to wait for dockerd at the end. */
const stopTime = 1_000;
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
  /** Networks of all hosts that this host's user is removing: dockerd is not to have them again meanwhile. */
  readonly #held = new Set<string>();
  /** dockerd's ids of those that it is to remove since they are gone: nobody else is asked to remove them. */
  readonly #removing = new Set<string>();
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

  /** dockerd does not have a network again that is being removed from all hosts, until {@link letGo} or until it is gone. */
  hold(shared: string): void {
    this.#held.add(shared);
  }

  /** It was not removed. */
  letGo(shared: string): void {
    this.#held.delete(shared);
    this.review();
  }

  /** Whether it is not a user who has dockerd remove a network. @param id dockerd's own */
  isRemoving(id: string): boolean {
    return this.#removing.has(id);
  }

  /** Can be called twice. dockerd may be waiting for a daemon that answers: it is not waited for long. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await Promise.race([this.#running, pause(stopTime, undefined, { ref: false })]);
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
    for (const shared of this.#held) if (!known.has(shared)) this.#held.delete(shared);
    const twins = new Map(
      [...this.records.networks.values()].flatMap((each) => (each.shared ? [[each.shared, each]] : [])),
    );
    for (const network of known.values())
      if (network.docker?.isNamed === true && !twins.has(network.id) && !this.#held.has(network.id))
        await this.#make(network);
    // Docker may have told a name before the network was heard of, or while the store was out of reach.
    for (const [shared, { id, name }] of twins) if (name !== id.slice(0, 12)) await this.name(id, shared, name);
    if (!this.cluster.isJoined) return; // it may be back with the store
    for (const [shared, { id, name }] of twins)
      if (!this.registered.has(shared) && !known.has(shared)) await this.#remove(id, name);
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
    this.#removing.add(id);
    try {
      await this.engine.removeNetwork(id);
      this.log.info({ network: name }, "a network was removed on another host, and from dockerd");
      this.#said.delete(id);
    } catch (error) {
      this.#say(id, name, error, "a network was removed on another host, and dockerd keeps it");
    } finally {
      this.#removing.delete(id);
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
    if (!known || known.docker?.isNamed === true) return; // its own name counts
    if (this.#naming.has(id)) return;
    this.#naming.add(id);
    // One that was not made through Docker has a name already, whatever dockerd calls it here.
    await this.#name(id, shared, known.docker ? name : known.name);
    this.#naming.delete(id);
  }

  async #name(id: string, shared: string, name: string): Promise<void> {
    try {
      await this.cluster.nameNetwork(shared, name);
    } catch (error) {
      if (errorCode(error) === "NAME_TAKEN" && this.#isNew(id)) return this.#yield(id, name);
      this.#say(id, name, error, "a network is not known by its name to other hosts yet");
    }
  }

  /** Whether nobody can have come to count on it yet. */
  #isNew(id: string): boolean {
    const { created = "" } = this.records.networks.get(id) ?? {};
    return Date.now() - Date.parse(created) < newTime;
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
