import type { Logger } from "pino";
import { describeError, errorCode, PontoonError } from "../../common/errors.js";
import type { KernelForward } from "../../network/firewall/wanted.js";
import type { Change, Elsewhere, Outcome, Request } from "../../network/protocol.js";
import { hasLegacyFilter } from "../../linux/legacy-filter.js";
import { Backend } from "./backend.js";
import type { DockersNetworks } from "./dockers-networks.js";
import { differenceOfForwards } from "./forwards.js";
import { linkAccepts } from "./link-accepts.js";
import { Queue } from "./queue.js";
import type { NetworkDefaults } from "./network-defaults.js";
import type { NetworkRecord } from "./records.js";
import type { Registry } from "./registry.js";
import { wantedEndpoints, wantedNetwork, wantedSandbox } from "./wanted.js";

/** Sandboxes that are told of at once, at the start. */
const atOnce = 64;

/** Brings the kernel to what is registered, one thing after the other, and registers what it saw there. */
export class Reconciler {
  readonly #queue = new Queue();
  /** Made when it is first needed: many hosts have no networks of pontoon's own. */
  #backend: Backend | undefined;
  #isStopped = false;
  /** What stands in firewall tables of others, as it was last seen. */
  #elsewhere: Elsewhere = { rules: [], troubles: [] };
  #dockerBridges = "";
  #forwards: ReadonlyMap<string, KernelForward> = new Map();
  /** Why nothing can be done. */
  #problem: Error | undefined = new PontoonError(
    "NETWORKS_OFF",
    "network backend",
    "the daemon was started with --observe and changes nothing; start it without",
  );

  constructor(
    private readonly registry: Registry,
    private readonly dockers: DockersNetworks,
    private readonly defaults: Pick<NetworkDefaults, "firewall" | "forwarding">,
    private readonly log: Logger,
  ) {}

  get elsewhere(): Elsewhere {
    if (!this.defaults.firewall) return { rules: [], troubles: [leftAlone] };
    return this.#elsewhere;
  }

  /** Why nothing can be done, in words; undefined when it can. */
  get off(): string | undefined {
    return this.#problem && describeError(this.#problem);
  }

  /** From now on what is asked for is done, or rejected with `problem`. */
  begin(problem: Error | undefined): void {
    this.#problem = problem;
  }

  /** Programs can be started with capabilities by a thread only that is made before servers are started: only legacy rules need that. */
  prepare(): void {
    if (!this.#problem && (hasLegacyFilter("ipv4") || hasLegacyFilter("ipv6"))) this.#thread();
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
      const wanted = [...networks.values()].map((network) => this.wantedNetwork(network));
      const grounded = await this.#request({ kind: "change", change: { networks: wanted } });
      this.#note({ ...grounded, failures: [] }); // they are told by what looks at everything
      const all = [...sandboxes.values()];
      for (let start = 0; start < all.length; start += atOnce) {
        const some = all.slice(start, start + atOnce);
        const endpoints = some.flatMap(({ id }) => this.wantedEndpointsOf(id));
        await this.#request({ kind: "change", change: { sandboxes: some.map(wantedSandbox), endpoints } });
      }
      this.#note(await this.#request({ kind: "repair" }));
    } catch (error) {
      if (errorCode(error) === "BACKEND_TAKEN") this.#problem = error as Error;
      throw error;
    }
  }

  /** Has it done. Rejects with the first failure. */
  async change(change: Change): Promise<void> {
    const outcome = await this.#request({ kind: "change", change });
    const [failure] = outcome.failures;
    this.#note({ ...outcome, failures: [] });
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

  /** Puts back what somebody has changed in the host's firewall. */
  mendFirewall(): Promise<void> {
    return this.background("the firewall's rules could not be looked at", async () => {
      this.#note(await this.#request({ kind: "mend-firewall" }));
    });
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
    return this.#queue.run(async () => {
      this.#isStopped = true;
      await this.#backend?.request({ kind: "finish" }).catch((error: unknown) => {
        this.log.warn({ reason: describeError(error) }, "links could not be removed; the next daemon will");
      });
      await this.#backend?.stop();
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
  wantedNetwork(network: NetworkRecord) {
    return wantedNetwork(this.#ruled(network));
  }

  /** Where the host's firewall is left alone, no network has rules, whatever was asked for it. */
  #ruled(network: NetworkRecord): NetworkRecord {
    return this.defaults.firewall ? network : { ...network, firewall: false };
  }

  #request(request: Request): Promise<Outcome> {
    if (this.#isStopped) return Promise.reject(ending());
    if (request.kind !== "change") return this.#thread().request(request);
    const change = { ...request.change, links: linkAccepts(this.registry), dockerBridges: this.dockers.bridges() };
    return this.#thread().request({ kind: "change", change });
  }

  #thread(): Backend {
    return (this.#backend ??= new Backend(
      { mayForward: this.defaults.forwarding },
      {
        onRulesChanged: () => void this.mendFirewall(),
        onWarning: (reason) => this.log.warn({ reason }, "something of the network backend failed"),
        onEnd: (reason) =>
          this.log.error({ reason }, "the network backend has ended: restart the daemon; what is connected stays so"),
      },
    ));
  }

  /** Which namespaces there are, as it was seen. */
  #note({ failures, inodes, notes, elsewhere = this.#elsewhere }: Outcome): void {
    this.#elsewhere = elsewhere;
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

const leftAlone =
  "left alone, as configured: networks are not kept apart and lead out only where the host's own rules see to it, and " +
  "pontoon-proxy alone serves published ports";

function ending(): PontoonError {
  return new PontoonError("DAEMON_ENDING", "network backend", "the daemon is about to end");
}
