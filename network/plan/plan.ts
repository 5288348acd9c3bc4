import type { Seen, SeenHost, SeenSandbox } from "../seen.js";
import {
  aliasOf,
  retiredGroup,
  type Wanted,
  type WantedEndpoint,
  type WantedHandover,
  type WantedNetwork,
  type WantedSandbox,
} from "../wanted.js";
import { planBandwidth, type LimitedPlace } from "./bandwidth-plan.js";
import { planEndpoint, planEndpointRemoval } from "./endpoint-plan.js";
import { planHandover, planHandoverRemoval } from "./handover-plan.js";
import { planLeftRules } from "./inside-plan.js";
import { isLan, planLan, planLanRemoval, planLeftChildren } from "./lan-plan.js";
import { planLeftProxies, planNdpLink, planNdpLinkRemoval, planNdpProxies } from "./ndp-plan.js";
import { planNetwork, planNetworkRemoval } from "./network-plan.js";
import { planOverlay, planOverlayRemoval } from "./overlay-plan.js";
import { planPairEnd, type SeenEnd } from "./pair-plan.js";
import type { ObjectSteps, RetiredEnd, Step } from "./steps.js";

/** What is to be looked at and set right. */
export interface Scope {
  readonly networks: readonly WantedNetwork[];
  readonly sandboxes: readonly WantedSandbox[];
  readonly endpoints: readonly WantedEndpoint[];
  readonly handovers: readonly WantedHandover[];
  /** What is not wanted any more, as it was. */
  readonly removed: {
    readonly networks: readonly WantedNetwork[];
    readonly sandboxes: readonly WantedSandbox[];
    readonly endpoints: readonly (readonly [WantedEndpoint, WantedSandbox])[];
    /** With the other end, where it was found in its namespace. */
    readonly handovers: readonly (readonly [WantedHandover, RetiredEnd | undefined])[];
  };
}

const gone: SeenSandbox = { kind: "gone" };

/** What has to be there before endpoints can be looked at: namespaces and bridges. Removals of endpoints come first. */
export function planGround(scope: Scope, wanted: Wanted, seen: Seen): ObjectSteps[] {
  const insideOf = (id: string) => seen.sandboxes.get(id) ?? gone;
  // What a link answers for does not go with a network that goes at once.
  const proxied = scope.removed.networks.filter(({ ndpProxy }) => ndpProxy);
  const networkOf = ({ network }: { network: string }) =>
    wanted.networks.get(network) ?? proxied.find(({ id }) => id === network);
  const known = [...wanted.endpoints.values(), ...scope.removed.endpoints.map(([endpoint]) => endpoint)];
  return withSteps([
    ...scope.removed.endpoints.map(([endpoint, sandbox]) =>
      of(
        "endpoint",
        endpoint.id,
        planEndpointRemoval(endpoint, networkOf(endpoint), sandbox, seen.host, insideOf(sandbox.id)),
      ),
    ),
    ...scope.removed.handovers.map(([handover, end]) =>
      of("endpoint", handover.id, planHandoverRemoval(handover, networkOf(handover), seen.host, end)),
    ),
    ...scope.removed.sandboxes.map((sandbox) =>
      of("sandbox", sandbox.id, planSandboxRemoval(sandbox, insideOf(sandbox.id))),
    ),
    ...scope.removed.networks.map((network) =>
      of("network", network.id, planGroundRemoval(network, wanted, seen.host)),
    ),
    ...scope.networks.map((network) => of("network", network.id, planGroundOf(network, scope, wanted, seen.host))),
    ...scope.sandboxes.map((sandbox) => of("sandbox", sandbox.id, planSandbox(sandbox, known, insideOf(sandbox.id)))),
  ]);
}

function planGroundOf(network: WantedNetwork, { removed }: Scope, wanted: Wanted, host: SeenHost): Step[] {
  if (network.isPair || network.isRemote) return []; // its links come and go with its ends
  return isLan(network)
    ? planLan(network, ipsOn(network, wanted, removed), host)
    : [...planNetwork(network, host), ...planOverlay(network, host), ...planNdpLink(network, host)];
}

function planGroundRemoval(network: WantedNetwork, { networks }: Wanted, host: SeenHost): Step[] {
  if (network.isPair || network.isRemote) return [];
  return isLan(network)
    ? planLanRemoval(network, networks.values(), host)
    : [
        ...planNdpLinkRemoval(network, networks.values(), host),
        ...planOverlayRemoval(network, host),
        ...planNetworkRemoval(network, host),
      ];
}

/** Endpoints, on ground that is there. */
export function planEndpoints(
  scope: Pick<Scope, "endpoints" | "handovers">,
  wanted: Wanted,
  seen: Seen,
): ObjectSteps[] {
  return withSteps([
    ...scope.handovers.map((handover) => {
      const network = wanted.networks.get(handover.network);
      return of(
        "endpoint",
        handover.id,
        network ? planHandover(handover, network, seen.host, seen.taken.has(handover.id)) : [],
      );
    }),
    ...scope.endpoints.flatMap((endpoint) => {
      const [network, own] = [wanted.networks.get(endpoint.network), endOf(endpoint, wanted, seen)];
      if (!network || !own || network.isPair) return [];
      return of("endpoint", endpoint.id, planEndpoint(endpoint, network, own.sandbox, seen.host, own.inside));
    }),
    ...pairedEndpoints(scope.endpoints, wanted).flatMap((endpoint) => {
      const own = endOf(endpoint, wanted, seen);
      const other = partnerOf(endpoint, wanted);
      return own ? of("endpoint", endpoint.id, planPairEnd(own, other && endOf(other, wanted, seen))) : [];
    }),
  ]);
}

/** Rates of endpoints whose links are there. */
export function planBandwidths(
  { endpoints, handovers }: Pick<Scope, "endpoints" | "handovers">,
  host: SeenHost,
): ObjectSteps[] {
  const stepsOf = (place: LimitedPlace, alias: string): ObjectSteps => {
    const link = host.links.get(place.hostLink);
    const isThere = link !== undefined && link.group !== retiredGroup;
    return of("endpoint", place.id, isThere ? planBandwidth(place, alias, link, host) : []);
  };
  return withSteps([
    ...endpoints.map((endpoint) => stepsOf(endpoint, aliasOf.shaper(endpoint))),
    ...handovers.map((handover) => stepsOf(handover, aliasOf.engineShaper(handover))),
  ]);
}

/** What the host answers for on LANs, of endpoints that are there, and nothing else. */
export function planAllProxies({ networks, endpoints }: Wanted, host: SeenHost): ObjectSteps[] {
  const left = of("network", "proxies", planLeftProxies(host, { networks, endpoints }));
  return withSteps([
    left,
    ...[...networks.values()].map((network) => {
      const places = [...endpoints.values()].filter(
        (endpoint) => endpoint.network === network.id && host.links.has(endpoint.hostLink),
      );
      const ips = places.flatMap(({ addresses }) => addresses.map(({ ip }) => ip));
      return of("network", network.id, [...planNdpLink(network, host), ...planNdpProxies(network, ips, host)]);
    }),
  ]);
}

/** Ends of links between two sandboxes, in the order in which they are planned, with those at the other ends. */
export function pairedEndpoints(
  endpoints: readonly WantedEndpoint[],
  wanted: Pick<Wanted, "networks" | "endpoints">,
): WantedEndpoint[] {
  const ends = endpoints
    .filter(({ network }) => wanted.networks.get(network)?.isPair)
    .flatMap((endpoint) => [endpoint, partnerOf(endpoint, wanted)].filter((end) => end !== undefined));
  const byId = new Map(ends.map((end) => [end.id, end]));
  return [...byId.values()].sort((one, other) => (one.id < other.id ? -1 : 1));
}

function partnerOf({ id, network }: WantedEndpoint, { endpoints }: Pick<Wanted, "endpoints">) {
  return [...endpoints.values()].find((other) => other.network === network && other.id !== id);
}

function endOf(endpoint: WantedEndpoint, { sandboxes }: Wanted, seen: Seen): SeenEnd | undefined {
  const sandbox = sandboxes.get(endpoint.sandbox);
  return sandbox && { endpoint, sandbox, inside: seen.sandboxes.get(sandbox.id) ?? gone };
}

/** Addresses of all endpoints on a network, and of those that see to their own removal. */
function ipsOn({ id }: WantedNetwork, { endpoints, handovers }: Wanted, removed: Scope["removed"]): string[] {
  const places = [
    ...[...endpoints.values(), ...removed.endpoints.map(([endpoint]) => endpoint)].map(({ network, addresses }) => ({
      network,
      ips: addresses.map(({ ip }) => ip),
    })),
    ...handovers.values(),
    ...removed.handovers.map(([handover]) => handover),
  ];
  return places.filter(({ network }) => network === id).flatMap(({ ips }) => ips);
}

function planSandbox(sandbox: WantedSandbox, all: readonly WantedEndpoint[], seen: SeenSandbox): Step[] {
  const raise: Step = { kind: "raise-loopback", sandbox };
  const isNamed = sandbox.target !== sandbox.path;
  // Somebody may have made one of that name since it was looked at: making it tells.
  if (seen.kind === "there" && !(sandbox.isFirst === true && isNamed)) {
    const isDown = seen.links.some(({ name, isUp }) => name === "lo" && !isUp);
    const own = all.filter((endpoint) => endpoint.sandbox === (sandbox.owner ?? sandbox.id));
    return [...(isDown ? [raise] : []), ...planLeftRules(sandbox, own, seen), ...planLeftChildren(sandbox, own, seen)];
  }
  if (seen.kind === "other" || !isNamed) return [];
  return sandbox.target === undefined
    ? [{ kind: "make-namespace", sandbox }]
    : [{ kind: "link-namespace", sandbox }, raise];
}

/** A namespace that has come in the place of ours is not ours to remove; the link to a process is, whoever has its number by now. */
function planSandboxRemoval({ path, target, isReplaceable }: WantedSandbox, seen: SeenSandbox): Step[] {
  return (seen.kind === "other" && isReplaceable) || target === path ? [] : [{ kind: "remove-namespace", path }];
}

function of(kind: ObjectSteps["object"]["kind"], id: string, steps: readonly Step[]): ObjectSteps {
  return { object: { kind, id }, steps };
}

function withSteps(all: readonly ObjectSteps[]): ObjectSteps[] {
  return all.filter(({ steps }) => steps.length > 0);
}
