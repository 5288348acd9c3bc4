import { PontoonError } from "../common/errors.js";
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
import { findEnd, lookAtHost, lookAtLinks, lookInside, type Sights } from "./links/look.js";
import { LostLinks } from "./lost-links.js";
import { Overlays } from "./overlays.js";
import { Tunnel } from "./tunnel.js";
import { absent, count, failureOf, inodesOf, linkGone } from "./outcomes.js";
import { leftovers } from "./plan/leftovers.js";
import { pairedEndpoints, planAllProxies, planBandwidths, planEndpoints, planGround, type Scope } from "./plan/plan.js";
import type { ObjectSteps } from "./plan/steps.js";
import type { BackendSettings, Change, Failure, Outcome, Request } from "./protocol.js";
import type { Seen, SeenHost, SeenSandbox } from "./seen.js";
import {
  isOurBridge,
  shaperOf,
  tunnelLink,
  type NeighbourChange,
  type WantedEndpoint,
  type WantedHandover,
  type WantedNetwork,
  type WantedSandbox,
} from "./wanted.js";

export interface WorkEvents {
  /** Called before each step, and before entries for endpoints on other hosts are written: a test may end the process by it. */
  onStep?(): void;
  /** Links were retired: {@link Work.deleteRetiredAside} is to be called when there is time. */
  onRetired(): void;
}

type FirewallOutcome = Pick<Outcome, "failures" | "notes" | "elsewhere">;

/** The backend's work: knows what is wanted, looks at what is, and does what lacks. Everything is synchronous: it has a thread of its own. */
export class Work {
  readonly #networks = new Map<string, WantedNetwork>();
  readonly #sandboxes = new Map<string, WantedSandbox>();
  readonly #endpoints = new Map<string, WantedEndpoint>();
  readonly #handovers = new Map<string, WantedHandover>();
  readonly #host = new Rtnetlink();
  readonly #lost = new LostLinks(this.#host);
  readonly #links = new Links(this.#host);
  readonly #overlays = new Overlays(this.#host, () => this.events.onStep?.());
  readonly #tunnel = new Tunnel(this.#host, () => this.events.onStep?.());
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
      this.#lost.close();
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
      (network) => this.#overlays.peersOf(network),
      () => this.#tunnel.ways,
    );
  }

  close(): void {
    closeDescriptor(this.#lock);
    this.#firewall.close();
    this.#links.close();
    this.#host.close();
    this.#lost.close();
  }

  /** What fails is part of the outcome. */
  do(request: Request): Outcome {
    switch (request.kind) {
      case "change":
        return this.#change(request.change);
      case "repair":
        return this.#repair(request.handovers);
      case "sweep":
        return this.#sweep();
      case "finish":
        this.#links.deleteRetired();
        return { failures: [], notes: [], inodes: new Map(), steps: 0 };
      case "look":
        return this.#look(request.sandboxes);
      case "forwards":
        return { ...this.#changeForwards(request.changes), inodes: new Map(), steps: 0 };
      case "mend-links":
        return this.#mendLinks();
      case "mend-firewall":
        return { ...this.#applyFirewall(), inodes: new Map(), steps: 0 };
      case "neighbours":
        return this.#changeNeighbours(request.changes);
      case "tunnel":
        this.#tunnel.want(request.tunnel);
        return this.#setTunnel();
      case "mend-neighbours":
        return this.#mendNeighbours();
      case "mend-queues":
        return this.#mendQueues();
      case "mend-proxies":
        return this.#mendProxies();
    }
  }

  #changeNeighbours(changes: readonly NeighbourChange[]): Outcome {
    const peers = () => changes.map(({ network }) => this.#overlays.peersOf(network).join()).join("/");
    const before = peers();
    const { failures, steps } = this.#overlays.change(changes, this.#networks);
    const hasOtherPeers = peers() !== before;
    const firewall: FirewallOutcome = hasOtherPeers ? this.#applyFirewall() : { failures: [], notes: [] };
    return { ...firewall, failures: [...failures, ...firewall.failures], steps, inodes: new Map() };
  }

  /** Other hosts have come or gone, or reach this one otherwise. At the start no network may be known yet: the link is left as it is. */
  #setTunnel(): Outcome {
    const set = this.#tunnel.bringAbout(this.#networks.values());
    const firewall: FirewallOutcome = this.#tunnel.ways ? this.#applyFirewall() : { failures: [], notes: [] };
    return { ...firewall, failures: [...set.failures, ...firewall.failures], steps: set.steps, inodes: new Map() };
  }

  #mendNeighbours(): Outcome {
    const tunnel = this.#tunnel.bringAbout(this.#networks.values());
    const entries = this.#overlays.mend(this.#networks.values());
    const failures = [...tunnel.failures, ...entries.failures];
    return { failures, steps: tunnel.steps + entries.steps, notes: [], inodes: new Map() };
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

  /** Whether links or addresses may have been taken away since the last time: "mend-links" is to be asked for. */
  hasLostLinks(): boolean {
    return this.#lost.hasNews(this.#wanted, (item) => this.#tunnel.isAbout(item));
  }

  #mendLinks(): Outcome {
    const tunnel = this.#tunnel.bringAbout(this.#networks.values());
    const outcome = this.#mendOthers();
    const others = outcome.failures.filter(({ object }) => object.kind !== "tunnel"); // it was tried twice
    return { ...outcome, failures: [...tunnel.failures, ...others], steps: tunnel.steps + outcome.steps };
  }

  #mendOthers(): Outcome {
    const { scope, notes } = this.#lost.find(this.#wanted, lookAtHost(this.#host, this.#sights));
    if (scope.networks.length + scope.endpoints.length + scope.handovers.length === 0)
      return { failures: [], notes, inodes: new Map(), steps: 0 };
    const taken = this.#takenOf(scope.handovers);
    const handovers = scope.handovers.filter(({ id, network }) => !this.#networks.get(network)?.lan || taken.has(id));
    const outcome = this.#bringAbout({ ...scope, handovers }, this.#lookAtLinksOf(scope));
    // Whose namespace is gone, with its link, whoever watches namespaces tells.
    const failures = outcome.failures.filter(({ code }) => code !== "SANDBOX_GONE");
    return { ...outcome, failures, inodes: new Map(), notes: [...notes, ...outcome.notes] };
  }

  /** Deletes links that were retired; other requests are carried out meanwhile. One at a time. */
  deleteRetiredAside(): Promise<void> {
    return this.#links.deleteRetiredAside();
  }

  #change(change: Change): Outcome {
    const {
      networks = [],
      sandboxes = [],
      endpoints = [],
      handovers = [],
      removed = {},
      links,
      dockerBridges,
    } = change;
    const hasOtherLinks = this.#firewall.setLinks(links);
    const hasOtherNeighbours = this.#firewall.setDockerBridges(dockerBridges);
    const endpointsToGo = this.#takenEndpoints(removed.endpoints); // their sandboxes may go, too
    const removals: Scope["removed"] = {
      networks: taken(this.#networks, removed.networks),
      sandboxes: taken(this.#sandboxes, removed.sandboxes),
      endpoints: endpointsToGo,
      handovers: taken(this.#handovers, removed.handovers).map((handover) => [handover, findEnd(this.#host, handover)]),
    };
    this.#overlays.forget(removed.networks ?? []);
    for (const network of networks) this.#networks.set(network.id, network);
    for (const sandbox of sandboxes) this.#sandboxes.set(sandbox.id, { ...sandbox, isFirst: false });
    for (const endpoint of endpoints) this.#endpoints.set(endpoint.id, endpoint);
    for (const handover of handovers) this.#handovers.set(handover.id, handover);
    const scope: Scope = { networks, sandboxes, endpoints, handovers, removed: removals };
    return this.#bringAbout(scope, this.#lookAtLinksOf(scope), hasOtherLinks || hasOtherNeighbours);
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
    const scope: Scope = { networks: [], sandboxes: [...there.values()], endpoints, handovers: [], removed: nothing };
    const outcome = this.#bringAbout(scope, this.#lookAtLinksOf(scope));
    return { ...outcome, inodes: new Map([...outcome.inodes, ...inodesOf(seen)]) };
  }

  #repair(known: readonly WantedHandover[]): Outcome {
    for (const handover of known) this.#handovers.set(handover.id, handover);
    this.#links.deleteRetired();
    const look = () => lookAtHost(this.#host, this.#sights);
    const seen = look();
    const isThere = (handover: WantedHandover) =>
      seen.links.has(handover.hostLink) ||
      (this.#networks.get(handover.network)?.lan !== undefined &&
        (seen.links.has(handover.peer) || findEnd(this.#host, handover) !== undefined));
    const handovers = [...this.#handovers.values()];
    for (const handover of handovers) if (!isThere(handover)) this.#handovers.delete(handover.id);
    const everything: Scope = {
      networks: [...this.#networks.values()],
      sandboxes: [...this.#sandboxes.values()],
      endpoints: [...this.#endpoints.values()],
      handovers: handovers.filter(isThere),
      removed: nothing,
    };
    const strays = leftovers(seen, this.#wanted, false);
    const failures = [
      ...this.#carryOut(strays),
      ...handovers.filter((handover) => !isThere(handover)).map(({ id, hostLink }) => linkGone(id, hostLink)),
    ];
    const outcome = this.#bringAbout(everything, look, true);
    const entries = this.#overlays.mend(everything.networks);
    const tidied = this.#tunnel.tidy(everything.networks);
    return {
      ...outcome,
      failures: [...failures, ...outcome.failures, ...entries.failures, ...tidied.failures],
      steps: outcome.steps + count(strays) + entries.steps + tidied.steps,
    };
  }

  #sweep(): Outcome {
    const strays = leftovers(lookAtHost(this.#host, {}), this.#wanted, true);
    return { failures: this.#carryOut(strays), notes: [], inodes: new Map(), steps: count(strays) };
  }

  /** What everything that is wanted makes count, beside links. */
  get #sights(): Sights {
    return {
      withRoutes: [...this.#networks.values()].some(({ lan }) => lan?.hasHostAccess),
      limited: limitedLinks([...this.#endpoints.values(), ...this.#handovers.values()]),
      proxying: proxyingLinks(this.#networks.values()),
    };
  }

  #mendQueues(): Outcome {
    const [endpoints, handovers] = [[...this.#endpoints.values()], [...this.#handovers.values()]];
    const limited = limitedLinks([...endpoints, ...handovers]);
    const steps = planBandwidths({ endpoints, handovers }, lookAtLinks(this.#host, [], false, { limited }));
    return { failures: this.#carryOut(steps), notes: [], inodes: new Map(), steps: count(steps) };
  }

  #mendProxies(): Outcome {
    const proxying = proxyingLinks(this.#networks.values());
    const names = [...this.#endpoints.values()]
      .filter(({ network }) => this.#networks.get(network)?.ndpProxy)
      .map(({ hostLink }) => hostLink);
    const steps = planAllProxies(this.#wanted, lookAtLinks(this.#host, names, false, { proxying }));
    return { failures: this.#carryOut(steps), notes: [], inodes: new Map(), steps: count(steps) };
  }

  #bringAbout(scope: Scope, lookAtHostAgain: (withAddresses: boolean) => SeenHost, mindsFirewall = false): Outcome {
    const sandboxes = new Map<string, SeenSandbox>();
    const lookInto = (sandbox: WantedSandbox) => sandboxes.set(sandbox.id, lookInside(sandbox));
    for (const sandbox of scope.sandboxes) lookInto(sandbox);
    for (const sandbox of scope.removed.sandboxes) lookInto(sandbox);
    for (const [, sandbox] of scope.removed.endpoints) lookInto(sandbox);
    const isAboutNetworks = [...scope.networks, ...scope.removed.networks].length > 0;
    const taken = this.#takenOf(scope.handovers);
    const tunnel = isAboutNetworks ? this.#tunnel.bringAbout(this.#networks.values()) : { failures: [], steps: 0 };
    const seen: Seen = { host: lookAtHostAgain(isAboutNetworks), sandboxes, taken };
    const ground = planGround(scope, this.#wanted, seen);
    this.#lost.note(scope.networks);
    const failures = [...tunnel.failures, ...this.#carryOut(ground)];
    for (const { object, code } of failures)
      if (object.kind === "sandbox" && code === "NAME_TAKEN") this.#sandboxes.delete(object.id); // nothing of it is ours to remove
    const tidied = isAboutNetworks ? this.#tunnel.tidy(this.#networks.values()) : { failures: [], steps: 0 };
    failures.push(...tidied.failures);
    const firewall: FirewallOutcome =
      isAboutNetworks || mindsFirewall ? this.#applyFirewall() : { failures: [], notes: [] };
    failures.push(...firewall.failures);
    const entries = this.#overlays.mend(
      scope.networks.filter(({ id }) => ground.some(({ object }) => object.id === id)),
    );
    failures.push(...entries.failures);

    for (const { object } of ground) {
      const made = object.kind === "sandbox" ? this.#sandboxes.get(object.id) : undefined;
      if (made) lookInto(made);
    }
    for (const { sandbox: id } of [...scope.endpoints, ...pairedEndpoints(scope.endpoints, this.#wanted)]) {
      const sandbox = this.#sandboxes.get(id);
      if (sandbox && !sandboxes.has(id)) lookInto(sandbox);
    }
    const hasEndpoints = scope.endpoints.length + scope.handovers.length > 0;
    const host = ground.length > 0 && hasEndpoints ? lookAtHostAgain(false) : seen.host;
    const endpoints = planEndpoints(scope, this.#wanted, { host, sandboxes, taken });
    failures.push(...this.#carryOut(endpoints), ...absent(scope.endpoints, sandboxes));
    const steps = tunnel.steps + count(ground) + tidied.steps + count(endpoints) + entries.steps;
    return { ...firewall, failures, inodes: inodesOf(sandboxes), steps };
  }

  get #wanted() {
    return {
      networks: this.#networks,
      sandboxes: this.#sandboxes,
      endpoints: this.#endpoints,
      handovers: this.#handovers,
    };
  }

  /** Handovers on LANs whose links are in their containers. */
  #takenOf(handovers: readonly WantedHandover[]): Set<string> {
    const onLans = handovers.filter(({ network }) => this.#networks.get(network)?.lan);
    return new Set(onLans.filter((handover) => findEnd(this.#host, handover)).map(({ id }) => id));
  }

  /** Looks at what a change is about. */
  #lookAtLinksOf(scope: Scope): (withAddresses: boolean) => SeenHost {
    const { networks, endpoints, handovers, removed } = scope;
    const gone = [...removed.endpoints, ...removed.handovers].map(([place]) => place);
    const places = [...endpoints, ...handovers, ...gone];
    const groundOf = (id: string) => this.#networks.get(id) ?? removed.networks.find((network) => network.id === id);
    const grounds = [...networks, ...removed.networks, ...places.flatMap(({ network }) => groundOf(network) ?? [])];
    const names = new Set([
      ...grounds.flatMap(({ bridge, lan, overlay }) => [bridge, lan?.parent ?? [], overlay?.link ?? []].flat()),
      ...(grounds.some(({ overlay }) => overlay?.isEncrypted) ? [tunnelLink] : []),
      ...places.map(({ hostLink }) => hostLink),
      ...places.flatMap((place) => ("peer" in place && groundOf(place.network)?.lan ? [place.peer] : [])),
    ]);
    const hasAccess = grounds.some(({ lan }) => lan?.hasHostAccess);
    const sights = { withRoutes: hasAccess, limited: limitedLinks(places), proxying: proxyingLinks(grounds) };
    return (withAddresses) => lookAtLinks(this.#host, names, withAddresses, sights);
  }

  #carryOut(all: readonly ObjectSteps[]): Failure[] {
    const failures: Failure[] = [];
    for (const { object, steps } of all)
      try {
        for (const step of steps) {
          this.events.onStep?.();
          if (step.kind === "retire") this.events.onRetired(); // also of one that fails in part
          this.#links.carryOut(step);
        }
      } catch (error) {
        failures.push(failureOf(object, error));
      }
    return failures;
  }
}

const nothing: Scope["removed"] = { networks: [], sandboxes: [], endpoints: [], handovers: [] };

/** Links by which endpoints go whose rate is limited. */
function limitedLinks(places: readonly (WantedEndpoint | WantedHandover)[]): string[] {
  return places.filter(({ bandwidth }) => bandwidth).flatMap((place) => [place.hostLink, shaperOf(place)]);
}

/** Links that answer for endpoints of networks. */
function proxyingLinks(networks: Iterable<WantedNetwork>): string[] {
  return [...new Set([...networks].flatMap(({ ndpProxy }) => ndpProxy?.link ?? []))];
}

function taken<Value>(all: Map<string, Value>, ids: readonly string[] = []): Value[] {
  return ids.flatMap((id) => {
    const value = all.get(id);
    all.delete(id);
    return value === undefined ? [] : [value];
  });
}
