import type { Logger } from "pino";
import { describeError, errorCode, PontoonError } from "../../common/errors.js";
import type { KernelForward, LinkAccept } from "../../network/firewall/wanted.js";
import type { Change, Elsewhere, Failure, Outcome, Request } from "../../network/protocol.js";
import { hasLegacyFilter } from "../../linux/legacy-filter.js";
import { Backend } from "./backend.js";
import { FirewalldZones } from "./firewalld-zones.js";
import type { DockersNetworks } from "./dockers-networks.js";
import { differenceOfForwards } from "./forwards.js";
import { linkAccepts } from "./link-accepts.js";
import { Mending } from "./mending.js";
import { Queue } from "./queue.js";
import type { NetworkDefaults } from "./network-defaults.js";
import type { NetworkRecord } from "./records.js";
import type { NeighbourChange, WantedHandover, WantedNetwork, WantedTunnel } from "../../network/wanted.js";
import type { Registry } from "./registry.js";
import { wantedEndpoints, wantedNetwork, wantedSandbox } from "./wanted.js";

/** A network that a container engine has made. */
export type EnginesNetwork = NetworkRecord & { readonly lentGateways: readonly string[] };

/** What is wanted for a container engine, beside the registry's. */
export interface EnginesPart {
  networks(): Iterable<EnginesNetwork>;
  /** How many endpoints it has on a network that is not its own, but the same on several hosts. */
  joinedOn(network: string): number;
  handovers(): WantedHandover[];
  links(): LinkAccept[];
  /** These pairs are not there any more: the kernel took them away with their namespaces. @param ids of endpoints */
  onGone(ids: readonly string[]): void;
}

/** Sandboxes that are told of at once, at the start. */
const atOnce = 64;

/** Brings the kernel to what is registered, one thing after the other, and registers what it saw there. */
export class Reconciler {
  readonly #queue = new Queue();
  /** Made when it is first needed: many hosts have no networks of pontoon's own. */
  #backend: Backend | undefined;
  #isStopped = false;
  readonly #zones: FirewalldZones;
  readonly #linkMending = new Mending(() => this.#mendLinks());
  /** What stands in firewall tables of others, as it was last seen. */
  #elsewhere: Elsewhere = { rules: [], troubles: [] };
  /** Why encrypted networks reach no other host, as it was last seen. */
  #tunnelTrouble: string | undefined;
  #dockerBridges = "";
  #forwards: ReadonlyMap<string, KernelForward> = new Map();
  /** Told which endpoints have lost a link that is not ours to make. */
  onLost: (ids: readonly string[]) => void = () => undefined;
  /** Why nothing can be done. */
  #problem: Error | undefined = new PontoonError(
    "NETWORKS_OFF",
    "network backend",
    "the daemon was started with --observe and changes nothing; start it without",
  );

  constructor(
    private readonly registry: Registry,
    private readonly engine: EnginesPart,
    private readonly dockers: DockersNetworks,
    private readonly defaults: Pick<NetworkDefaults, "firewall" | "firewalldZone" | "forwarding">,
    private readonly log: Logger,
  ) {
    this.#zones = new FirewalldZones(defaults.firewalldZone, log);
  }

  get elsewhere(): Elsewhere {
    if (!this.defaults.firewall) return { rules: [], troubles: [leftAlone] };
    const { trouble } = this.#zones;
    if (trouble === undefined) return this.#elsewhere;
    return { ...this.#elsewhere, troubles: [...this.#elsewhere.troubles, trouble] };
  }

  /** Why nothing can be done, in words; undefined when it can. */
  get off(): string | undefined {
    return this.#problem && describeError(this.#problem);
  }

  /** Why encrypted networks reach no other host, in words; undefined when they do, or there are none. */
  get tunnelTrouble(): string | undefined {
    return this.#tunnelTrouble;
  }

  /** From now on what is asked for is done, or rejected with `problem`. */
  begin(problem: Error | undefined): void {
    this.#problem = problem;
  }

  /**
   * Programs can be started with capabilities by a thread only that is made before servers are started.
   * @param startsPrograms whether that is needed for more than legacy rules
   */
  prepare(startsPrograms: boolean): void {
    if (!this.#problem && (startsPrograms || hasLegacyFilter("ipv4") || hasLegacyFilter("ipv6"))) this.#thread();
  }

  /** Does what somebody asks for, after everything that was asked for before. */
  command<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#queue.run(() => {
      const problem = this.#isStopped ? ending() : this.#problem;
      return problem ? Promise.reject(problem) : work();
    });
  }

  /** Does what nobody waits for, unless there is nothing to be done any more. What fails is logged with `what`. */
  background(what: string, work: () => Promise<void>): Promise<void> {
    return this.#queue.run(async () => {
      if (this.#isStopped || this.#problem) return;
      try {
        await work();
      } catch (error) {
        this.log.warn({ reason: describeError(error) }, what);
      }
    });
  }

  /** Makes everything as it is registered, whatever there is now. */
  async bringAbout(): Promise<void> {
    const { networks, sandboxes } = this.registry;
    try {
      const wanted = [
        ...[...networks.values()]
          .filter((network) => this.#isHere(network))
          .map((network) => this.wantedNetwork(network)),
        ...[...this.engine.networks()].map((network) => this.wantedEnginesNetwork(network)),
      ];
      const grounded = await this.#request({ kind: "change", change: { networks: wanted } });
      this.#note({ ...grounded, failures: [] }); // they are told by what looks at everything
      const all = [...sandboxes.values()];
      for (let start = 0; start < all.length; start += atOnce) {
        const some = all.slice(start, start + atOnce);
        const endpoints = some.flatMap(({ id }) => this.wantedEndpointsOf(id));
        await this.#request({ kind: "change", change: { sandboxes: some.map(wantedSandbox), endpoints } });
      }
      const repaired = await this.#request({ kind: "repair", handovers: this.engine.handovers() });
      const isGone = ({ code }: Failure) => code === "LINK_GONE";
      this.engine.onGone(repaired.failures.filter(isGone).map(({ object }) => object.id));
      this.#note({ ...repaired, failures: repaired.failures.filter((failure) => !isGone(failure)) });
    } catch (error) {
      if (errorCode(error) === "BACKEND_TAKEN") this.#problem = error as Error;
      throw error;
    }
  }

  /**
   * Has it done. Rejects with the first failure.
   * @param mayLose links that are not ours to make may be missing: {@link onLost} is told
   */
  async change(change: Change, mayLose = false): Promise<void> {
    const outcome = await this.#request({ kind: "change", change });
    const lost = mayLose ? outcome.failures.filter(isLost) : [];
    const failure = outcome.failures.find((each) => !lost.includes(each));
    this.#note({ ...outcome, failures: lost });
    if (failure) throw new PontoonError(failure.code, failure.subject, failure.message);
  }

  /** What has failed is taken back; what cannot be is logged, and tried again at the next start. */
  async undo(removed: { networks?: string[]; endpoints?: string[] }, sandbox?: string): Promise<void> {
    try {
      this.registry.commit({ removed });
      const endpoints = sandbox === undefined ? [] : this.wantedEndpointsOf(sandbox);
      const { failures } = await this.#request({ kind: "change", change: { removed, endpoints } });
      for (const { message } of failures) this.#warnOfRemains(message);
    } catch (error) {
      this.#warnOfRemains(describeError(error));
    }
  }

  #warnOfRemains(reason: string): void {
    this.log.warn({ reason }, "what failed could not be taken back as a whole");
  }

  /** Looks at sandboxes whose namespaces may be others now. @returns how many steps it took */
  async look(sandboxes: readonly string[]): Promise<number> {
    const outcome = await this.#request({ kind: "look", sandboxes });
    this.#note(outcome);
    return outcome.steps;
  }

  /** Removes what was made for a container engine that has told of all it has, and is not registered. */
  async sweep(): Promise<void> {
    this.#note(await this.#request({ kind: "sweep" }));
  }

  /** Puts back what somebody has changed in the host's firewall. */
  mendFirewall(): Promise<void> {
    return this.background("the firewall's rules could not be looked at", async () => {
      this.#note(await this.#request({ kind: "mend-firewall" }));
    });
  }

  /** Puts back links and addresses that somebody has taken away. @returns whether there were any */
  async #mendLinks(): Promise<boolean> {
    let steps = 0;
    await this.background("links that were taken away could not be put back", async () => {
      const outcome = await this.#request({ kind: "mend-links" });
      ({ steps } = outcome);
      if (steps > 0) this.log.warn({ steps }, "links or addresses of networks were gone: they are back");
      this.#note(outcome);
    });
    return steps > 0;
  }

  /** Puts back what somebody has changed in queues of links of endpoints whose rate is limited. */
  mendQueues(): Promise<void> {
    return this.background("the bandwidth of endpoints could not be looked at", async () => {
      this.#note(await this.#request({ kind: "mend-queues" }));
    });
  }

  /** Puts back what links of the host are to answer for, and forget when they go down. */
  mendProxies(): Promise<void> {
    return this.background("what links answer for could not be looked at", () => this.mendProxiesNow());
  }

  /** As {@link mendProxies}, from a command. */
  async mendProxiesNow(): Promise<void> {
    this.#note(await this.#request({ kind: "mend-proxies" }));
  }

  /** Docker's networks may be others than before. */
  dockerHasChanged(): void {
    const bridges = this.dockers.bridges().join("/");
    if (bridges === this.#dockerBridges) return;
    this.#dockerBridges = bridges;
    void this.background("networks could not be kept apart from Docker's new ones", async () => {
      if (this.#backend) this.#note(await this.#request({ kind: "change", change: {} }));
    });
  }

  /** Has the kernel forward these, and no others. @param forwards by any key that stays the same */
  setForwards(forwards: ReadonlyMap<string, KernelForward>): Promise<void> {
    return this.background("published ports are served by pontoon-proxy alone", async () => {
      const changes = differenceOfForwards(this.#forwards, forwards);
      if (changes.add.length + changes.remove.length === 0) return;
      this.#forwards = forwards;
      this.#note(await this.#request({ kind: "forwards", changes }));
    });
  }

  /** Does what was put off, and nothing more after it. Can be called twice. */
  stop(): Promise<void> {
    this.#zones.stop();
    this.#linkMending.stop();
    return this.#queue.run(async () => {
      this.#isStopped = true;
      await this.#backend?.request({ kind: "finish" }).catch((error: unknown) => {
        this.log.warn({ reason: describeError(error) }, "links could not be removed; the next daemon will");
      });
      await this.#backend?.stop();
    });
  }

  /** A network of several hosts is on those that have endpoints on it. */
  #isHere({ id, overlay }: NetworkRecord): boolean {
    return overlay === undefined || this.isUsed(id);
  }

  /** Whether endpoints of this host are on a network, whoever has had them made. */
  isUsed(network: string): boolean {
    return this.registry.endpointsOn(network) + this.engine.joinedOn(network) > 0;
  }

  /** Tells the kernel of endpoints on other hosts. To be called in a turn. */
  async neighbours(changes: readonly NeighbourChange[]): Promise<void> {
    this.#note(await this.#request({ kind: "neighbours", changes }));
  }

  /** Tells the kernel how encrypted packets get to other hosts. To be called in a turn. */
  async setTunnel(tunnel: WantedTunnel): Promise<void> {
    this.#note(await this.#request({ kind: "tunnel", tunnel }));
  }

  /** Puts back what somebody has changed of what the kernel was told of endpoints on other hosts. */
  mendNeighbours(): Promise<void> {
    return this.background("endpoints of other hosts could not be compared with the kernel", async () => {
      const outcome = await this.#request({ kind: "mend-neighbours" });
      if (outcome.steps > 0)
        this.log.warn(
          { steps: outcome.steps },
          "the kernel knew something else of other hosts' endpoints: it is mended",
        );
      this.#note(outcome);
    });
  }

  /** All endpoints of a sandbox, as they are to be. */
  wantedEndpointsOf(sandbox: string) {
    return wantedEndpoints(this.registry.endpointsOf({ sandbox }), (id) => {
      const network = this.registry.networks.get(id);
      return network && this.#ruled(network);
    });
  }

  /** What a network means for the kernel. */
  wantedNetwork(network: NetworkRecord): WantedNetwork {
    return wantedNetwork(this.#ruled(network));
  }

  /** As {@link wantedNetwork}, of a container engine's. */
  wantedEnginesNetwork(network: EnginesNetwork): WantedNetwork {
    const wanted = this.wantedNetwork(network);
    const lent = wanted.addresses.filter(({ ip }) => network.lentGateways.includes(ip));
    return { ...wanted, isEngines: true, lent };
  }

  /** Where the host's firewall is left alone, no network has rules, whatever was asked for it. */
  #ruled(network: NetworkRecord): NetworkRecord {
    return this.defaults.firewall ? network : { ...network, firewall: false };
  }

  async #request(request: Request): Promise<Outcome> {
    if (this.#isStopped) throw ending();
    const outcome = await this.#thread().request(this.#whole(request));
    const trouble = outcome.failures.find(({ object }) => object.kind === "tunnel")?.message;
    if (trouble !== undefined || looksAtTunnel.includes(request.kind)) this.#tunnelTrouble = trouble;
    return outcome;
  }

  #whole(request: Request): Request {
    if (request.kind !== "change") return request;
    const change = { ...request.change, links: this.#links(), dockerBridges: this.dockers.bridges() };
    return { kind: "change", change };
  }

  #links(): LinkAccept[] {
    return [...linkAccepts(this.registry), ...this.engine.links()];
  }

  #thread(): Backend {
    return (this.#backend ??= new Backend(
      { mayForward: this.defaults.forwarding },
      {
        onRulesChanged: () => void this.mendFirewall(),
        onLinksChanged: () => this.#linkMending.soon(),
        onWarning: (reason) => this.log.warn({ reason }, "something of the network backend failed"),
        onEnd: (reason) =>
          this.log.error({ reason }, "the network backend has ended: restart the daemon; what is connected stays so"),
      },
    ));
  }

  /** Networks, or firewalld, may be others than before. Returns at once. */
  reviewZones(): void {
    this.#zones.want(this.#elsewhere.firewalld, this.#ruledBridges());
  }

  /** Of our own making, and with rules in the host's firewall. */
  #ruledBridges(): string[] {
    const all = [...this.registry.networks.values(), ...this.engine.networks()];
    return all
      .filter((network) => this.#isHere(network))
      .filter(({ firewall, isAdopted, lan, pair }) => firewall && !isAdopted && !lan && !pair)
      .map(({ bridge }) => bridge);
  }

  /** Which namespaces there are, as it was seen. */
  #note({ failures, inodes, notes, elsewhere = this.#elsewhere }: Outcome): void {
    this.#elsewhere = elsewhere;
    this.reviewZones();
    for (const note of notes) this.log.info(note);
    for (const { object, code, message } of failures)
      this.log.warn(
        { [object.kind]: object.id.slice(0, 12), code, reason: message },
        "not everything is as it should be",
      );
    const lost = failures.filter(isLost).map(({ object }) => object.id);
    if (lost.length > 0) this.onLost(lost);
    const changed = [...inodes].flatMap(([id, inode]) => {
      const sandbox = this.registry.sandboxes.get(id);
      return sandbox && sandbox.inode !== inode ? [{ ...sandbox, inode }] : [];
    });
    if (changed.length > 0) this.registry.commit({ sandboxes: changed });
  }
}

const looksAtTunnel: readonly Request["kind"][] = ["tunnel", "mend-links", "mend-neighbours"];

const isLost = ({ code }: Failure): boolean => code === "LINK_LOST";

const leftAlone =
  "left alone, as configured: networks are not kept apart and lead out only where the host's own rules see to it, and " +
  "pontoon-proxy alone serves published ports";

function ending(): PontoonError {
  return new PontoonError("DAEMON_ENDING", "network backend", "the daemon is about to end");
}
