import type { Seen, SeenSandbox } from "../seen.js";
import type { Wanted, WantedEndpoint, WantedNetwork, WantedSandbox } from "../wanted.js";
import { planEndpoint, planEndpointRemoval, planLeftRules } from "./endpoint-plan.js";
import { planNetwork, planNetworkRemoval } from "./network-plan.js";
import type { ObjectSteps, Step } from "./steps.js";

/** What is to be looked at and set right. */
export interface Scope {
  readonly networks: readonly WantedNetwork[];
  readonly sandboxes: readonly WantedSandbox[];
  readonly endpoints: readonly WantedEndpoint[];
  /** What is not wanted any more, as it was. */
  readonly removed: {
    readonly networks: readonly WantedNetwork[];
    readonly sandboxes: readonly WantedSandbox[];
    readonly endpoints: readonly (readonly [WantedEndpoint, WantedSandbox])[];
  };
}

const gone: SeenSandbox = { kind: "gone" };

/** What has to be there before endpoints can be looked at: namespaces and bridges. Removals of endpoints come first. */
export function planGround(scope: Scope, wanted: Wanted, seen: Seen): ObjectSteps[] {
  const insideOf = (id: string) => seen.sandboxes.get(id) ?? gone;
  const known = [...wanted.endpoints.values(), ...scope.removed.endpoints.map(([endpoint]) => endpoint)];
  return withSteps([
    ...scope.removed.endpoints.map(([endpoint, sandbox]) =>
      of("endpoint", endpoint.id, planEndpointRemoval(endpoint, sandbox, seen.host, insideOf(sandbox.id))),
    ),
    ...scope.removed.sandboxes.map((sandbox) =>
      of("sandbox", sandbox.id, planSandboxRemoval(sandbox, insideOf(sandbox.id))),
    ),
    ...scope.removed.networks.map((network) => of("network", network.id, planNetworkRemoval(network, seen.host))),
    ...scope.networks.map((network) => of("network", network.id, planNetwork(network, seen.host))),
    ...scope.sandboxes.map((sandbox) => of("sandbox", sandbox.id, planSandbox(sandbox, known, insideOf(sandbox.id)))),
  ]);
}

/** Endpoints, on ground that is there. */
export function planEndpoints(scope: Pick<Scope, "endpoints">, wanted: Wanted, seen: Seen): ObjectSteps[] {
  return withSteps(
    scope.endpoints.map((endpoint) => {
      const [network, sandbox] = [wanted.networks.get(endpoint.network), wanted.sandboxes.get(endpoint.sandbox)];
      if (!network || !sandbox) return of("endpoint", endpoint.id, []);
      return of(
        "endpoint",
        endpoint.id,
        planEndpoint(endpoint, network, sandbox, seen.host, seen.sandboxes.get(sandbox.id) ?? gone),
      );
    }),
  );
}

function planSandbox(sandbox: WantedSandbox, all: readonly WantedEndpoint[], seen: SeenSandbox): Step[] {
  const raise: Step = { kind: "raise-loopback", sandbox };
  const isNamed = sandbox.target !== sandbox.path;
  // Somebody may have made one of that name since it was looked at: making it tells.
  if (seen.kind === "there" && !(sandbox.isFirst === true && isNamed)) {
    const isDown = seen.links.some(({ name, isUp }) => name === "lo" && !isUp);
    const own = all.filter((endpoint) => endpoint.sandbox === (sandbox.owner ?? sandbox.id));
    return [...(isDown ? [raise] : []), ...planLeftRules(sandbox, own, seen)];
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
