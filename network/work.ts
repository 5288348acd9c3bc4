import { describeError, errorCode, PontoonError } from "../common/errors.js";
import { lockNamespace } from "../linux/namespace-lock.js";
import { closeDescriptor } from "../linux/socket.js";
import { addressesOf } from "../linux/netlink/rtnetlink/addresses.js";
import { bridgesOf } from "../linux/netlink/rtnetlink/links.js";
import { Rtnetlink } from "../linux/netlink/rtnetlink/rtnetlink.js";
import type { ForwardChanges } from "./firewall/firewall.js";
import { dockersBridges } from "./docker-bridges.js";
import { Forwarding } from "./forwarding.js";
import { HostFirewall } from "./host-firewall.js";
import { Links } from "./links/carry-out.js";
import { lookAtHost, lookAtLinks, lookInside } from "./links/look.js";
import { leftovers } from "./plan/leftovers.js";
import { planEndpoints, planGround, type Scope } from "./plan/plan.js";
import type { ObjectRef, ObjectSteps, Step } from "./plan/steps.js";
import type { BackendSettings, Change, Failure, Outcome, Request } from "./protocol.js";
import type { Seen, SeenHost, SeenSandbox } from "./seen.js";
import { isOurBridge, type WantedEndpoint, type WantedNetwork, type WantedSandbox } from "./wanted.js";

export interface WorkEvents {
  /** Called before each step, by which a test may end the process. */
  onStep?(step: Step): void;
  /** Links were retired: {@link Work.deleteRetiredAside} is to be called when there is time. */
  onRetired(): void;
}

type FirewallOutcome = Pick<Outcome, "failures" | "notes" | "elsewhere">;

/** The backend's work: knows what is wanted, looks at what is, and does what lacks. Everything is synchronous: it has a thread of its own. */
export class Work {
  readonly #networks = new Map<string, WantedNetwork>();
  readonly #sandboxes = new Map<string, WantedSandbox>();
  readonly #endpoints = new Map<string, WantedEndpoint>();
  readonly #host = new Rtnetlink();
  readonly #links = new Links(this.#host);
  readonly #lock: number;
  readonly #firewall: HostFirewall;

  /** Throws BACKEND_TAKEN while another process does the same in this network namespace: each would remove the links of the other. */
  constructor(
    private readonly events: WorkEvents,
    { mayForward }: BackendSettings,
  ) {
    const lock = lockNamespace("pontoon-networks");
    if (lock === undefined) {
      this.#host.close();
      throw new PontoonError(
        "BACKEND_TAKEN",
        "network backend",
        "another pontoon daemon has the networks of this host; stop it, or use it by its --run-dir",
      );
    }
    this.#lock = lock;
    const otherBridges = () =>
      bridgesOf(this.#host)
        .filter((link) => !isOurBridge(link))
        .map(({ name }) => name);
    this.#firewall = new HostFirewall(
      () => dockersBridges(this.#host),
      () => addressesOf(this.#host).map(({ ip }) => ip),
      new Forwarding(mayForward, otherBridges),
    );
  }

  close(): void {
    closeDescriptor(this.#lock);
    this.#firewall.close();
    this.#links.close();
    this.#host.close();
  }

  /** What fails is part of the outcome. */
  do(request: Request): Outcome {
    switch (request.kind) {
      case "change":
        return this.#change(request.change);
      case "repair":
        return this.#repair();
      case "finish":
        this.#links.deleteRetired();
        return { failures: [], notes: [], inodes: new Map(), steps: 0 };
      case "look":
        return this.#look(request.sandboxes);
      case "forwards":
        return { ...this.#changeForwards(request.changes), inodes: new Map(), steps: 0 };
      case "mend-firewall":
        return { ...this.#applyFirewall(), inodes: new Map(), steps: 0 };
    }
  }

  #changeForwards(changes: ForwardChanges): FirewallOutcome {
    return this.#firewallOutcome(this.#firewall.changeForwards(changes, [...this.#networks.values()]));
  }

  #applyFirewall(): FirewallOutcome {
    return this.#firewallOutcome(this.#firewall.apply([...this.#networks.values()]));
  }

  #firewallOutcome({ failure, notes }: ReturnType<HostFirewall["apply"]>): FirewallOutcome {
    return { failures: failure ? [failure] : [], notes, elsewhere: this.#firewall.elsewhere };
  }

  /** Whether somebody has changed rules of the host of which no news tells: "mend-firewall" is to be asked for. Can be asked often. */
  get hasUntoldChanges(): boolean {
    return this.#firewall.hasUntoldChanges;
  }

  /** Deletes links that were retired; other requests are carried out meanwhile. One at a time. */
  deleteRetiredAside(): Promise<void> {
    return this.#links.deleteRetiredAside();
  }

  #change({ networks = [], sandboxes = [], endpoints = [], removed = {}, links, dockerBridges }: Change): Outcome {
    const hasOtherLinks = this.#firewall.setLinks(links);
    const hasOtherNeighbours = this.#firewall.setDockerBridges(dockerBridges);
    const endpointsToGo = this.#takenEndpoints(removed.endpoints); // their sandboxes may go, too
    const removals: Scope["removed"] = {
      networks: taken(this.#networks, removed.networks),
      sandboxes: taken(this.#sandboxes, removed.sandboxes),
      endpoints: endpointsToGo,
    };
    for (const network of networks) this.#networks.set(network.id, network);
    for (const sandbox of sandboxes) this.#sandboxes.set(sandbox.id, { ...sandbox, isFirst: false });
    for (const endpoint of endpoints) this.#endpoints.set(endpoint.id, endpoint);
    const scope: Scope = { networks, sandboxes, endpoints, removed: removals };
    const look = (withAddresses: boolean) => lookAtLinks(this.#host, this.#linksOf(scope), withAddresses);
    return this.#bringAbout(scope, look, hasOtherLinks || hasOtherNeighbours);
  }

  #takenEndpoints(ids: readonly string[] = []): [WantedEndpoint, WantedSandbox][] {
    return taken(this.#endpoints, ids).flatMap((endpoint) => {
      const sandbox = this.#sandboxes.get(endpoint.sandbox);
      return sandbox ? [[endpoint, sandbox] as [WantedEndpoint, WantedSandbox]] : [];
    });
  }

  #look(ids: readonly string[]): Outcome {
    const there = new Map<string, WantedSandbox>();
    const seen = new Map<string, SeenSandbox>();
    for (const id of ids) {
      const sandbox = this.#sandboxes.get(id);
      if (!sandbox) continue;
      // Whichever namespace is there by now.
      const known = sandbox.isReplaceable ? { ...sandbox, inode: undefined } : sandbox;
      const inside = lookInside(known);
      seen.set(id, inside);
      if (inside.kind !== "there") continue;
      this.#sandboxes.set(id, known);
      there.set(id, known);
    }
    const endpoints = [...this.#endpoints.values()].filter(({ sandbox }) => there.has(sandbox));
    const nothing = { networks: [], sandboxes: [], endpoints: [] };
    const scope: Scope = { networks: [], sandboxes: [...there.values()], endpoints, removed: nothing };
    const outcome = this.#bringAbout(scope, (withAddresses) =>
      lookAtLinks(this.#host, this.#linksOf(scope), withAddresses),
    );
    return { ...outcome, inodes: new Map([...outcome.inodes, ...inodesOf(seen)]) };
  }

  #repair(): Outcome {
    const everything: Scope = {
      networks: [...this.#networks.values()],
      sandboxes: [...this.#sandboxes.values()],
      endpoints: [...this.#endpoints.values()],
      removed: { networks: [], sandboxes: [], endpoints: [] },
    };
    this.#links.deleteRetired();
    const look = () => lookAtHost(this.#host);
    const strays = leftovers(look(), this.#networks, this.#endpoints);
    const failures = this.#carryOut(strays);
    const outcome = this.#bringAbout(everything, look, true);
    return { ...outcome, failures: [...failures, ...outcome.failures], steps: outcome.steps + count(strays) };
  }

  #bringAbout(scope: Scope, lookAtHostAgain: (withAddresses: boolean) => SeenHost, mindsFirewall = false): Outcome {
    const sandboxes = new Map<string, SeenSandbox>();
    const lookInto = (sandbox: WantedSandbox) => sandboxes.set(sandbox.id, lookInside(sandbox));
    for (const sandbox of scope.sandboxes) lookInto(sandbox);
    for (const sandbox of scope.removed.sandboxes) lookInto(sandbox);
    for (const [, sandbox] of scope.removed.endpoints) lookInto(sandbox);
    const seen: Seen = { host: lookAtHostAgain(scope.networks.length > 0), sandboxes };
    const ground = planGround(scope, this.#wanted, seen);
    const failures = this.#carryOut(ground);
    for (const { object, code } of failures)
      if (object.kind === "sandbox" && code === "NAME_TAKEN") this.#sandboxes.delete(object.id); // nothing of it is ours to remove
    const isAboutNetworks = scope.networks.length > 0 || scope.removed.networks.length > 0 || mindsFirewall;
    const firewall: FirewallOutcome = isAboutNetworks ? this.#applyFirewall() : { failures: [], notes: [] };
    failures.push(...firewall.failures);

    for (const { object } of ground) {
      const made = object.kind === "sandbox" ? this.#sandboxes.get(object.id) : undefined;
      if (made) lookInto(made);
    }
    for (const { sandbox: id } of scope.endpoints) {
      const sandbox = this.#sandboxes.get(id);
      if (sandbox && !sandboxes.has(id)) lookInto(sandbox);
    }
    const host = ground.length > 0 && scope.endpoints.length > 0 ? lookAtHostAgain(false) : seen.host;
    const endpoints = planEndpoints(scope, this.#wanted, { host, sandboxes });
    failures.push(...this.#carryOut(endpoints), ...absent(scope.endpoints, sandboxes));
    return { ...firewall, failures, inodes: inodesOf(sandboxes), steps: count(ground) + count(endpoints) };
  }

  get #wanted() {
    return { networks: this.#networks, sandboxes: this.#sandboxes, endpoints: this.#endpoints };
  }

  #linksOf({ networks, endpoints, removed }: Scope): Set<string> {
    return new Set([
      ...[...networks, ...removed.networks].map(({ bridge }) => bridge),
      ...endpoints.flatMap(({ hostLink, network }) => [hostLink, this.#networks.get(network)?.bridge ?? hostLink]),
      ...removed.endpoints.map(([{ hostLink }]) => hostLink),
    ]);
  }

  #carryOut(all: readonly ObjectSteps[]): Failure[] {
    const failures: Failure[] = [];
    for (const { object, steps } of all)
      try {
        for (const step of steps) {
          this.events.onStep?.(step);
          if (step.kind === "retire") this.events.onRetired(); // also of one that fails in part
          this.#links.carryOut(step);
        }
      } catch (error) {
        failures.push(failureOf(object, error));
      }
    return failures;
  }
}

function taken<Value>(all: Map<string, Value>, ids: readonly string[] = []): Value[] {
  return ids.flatMap((id) => {
    const value = all.get(id);
    all.delete(id);
    return value === undefined ? [] : [value];
  });
}

function failureOf(object: ObjectRef, error: unknown): Failure {
  const subject = typeof error === "object" && error !== null && "subject" in error ? String(error.subject) : object.id;
  return { object, code: errorCode(error) ?? "UNKNOWN", subject, message: describeError(error) };
}

/** Endpoints whose sandbox is not there: they wait for it. */
function absent(endpoints: readonly WantedEndpoint[], sandboxes: ReadonlyMap<string, SeenSandbox>): Failure[] {
  return endpoints
    .filter(({ sandbox }) => sandboxes.get(sandbox)?.kind !== "there")
    .map(({ id, sandbox }) => ({
      object: { kind: "endpoint", id },
      code: "SANDBOX_GONE",
      subject: sandbox,
      message: "the sandbox's network namespace is not there",
    }));
}

function inodesOf(sandboxes: ReadonlyMap<string, SeenSandbox>): Map<string, number> {
  return new Map([...sandboxes].map(([id, seen]) => [id, seen.kind === "there" ? seen.inode : 0]));
}

function count(all: readonly ObjectSteps[]): number {
  return all.reduce((sum, { steps }) => sum + steps.length, 0);
}
