import { isAddress, canonicalForm } from "../../common/address.js";
import { PontoonError } from "../../common/errors.js";
import { ControlClient } from "../control/client.js";
import type { Container } from "../inventory/types.js";
import { askFrom } from "./facts/asker.js";
import { resolveFor } from "./facts/resolve.js";
import { lookUp } from "./facts/sources.js";
import { LiveWorld } from "./facts/world-of.js";
import type { Asker, Goal, Request } from "./facts/world.js";
import type { GoalWords } from "./goal-words.js";
import { withProbe } from "./probe.js";
import type { Trace } from "./steps.js";
import { walk } from "./way/walk.js";

export interface TraceOptions {
  readonly runDir: string;
  /** As given with `--docker`, for a host without a daemon. */
  readonly docker: string | undefined;
  readonly from: string;
  readonly to: GoalWords;
  /** As it was written. */
  readonly toText: string;
  /** Send a real packet as well. */
  readonly probe: boolean;
}

/**
 * Follows the first packet from one to another through all that it meets, and says where it ends. Changes nothing.
 * Throws NOT_ROOT, NO_SUCH_CONTAINER, NOT_RUNNING, NOT_ALLOWED, and what reading of rules throws.
 */
export async function trace(options: TraceOptions): Promise<Trace> {
  if (process.getuid?.() !== 0)
    throw new PontoonError(
      "NOT_ROOT",
      "pontoon trace",
      "pontoon trace looks into other programs' network namespaces and needs root; run it with sudo",
    );
  const client = new ControlClient(`${options.runDir}/control.sock`);
  const world = new LiveWorld(await lookUp(client, options.docker));
  const asker = await askerOf(world, options.from);
  const request: Request = {
    words: { from: options.from, to: options.toText },
    asker,
    goal: await goalOf(world, asker, options.to.name, client),
    transport: options.to.transport,
    port: options.to.port,
  };
  const result = walk(world, request);
  return options.probe ? probed(result, request) : result;
}

async function askerOf(world: LiveWorld, name: string): Promise<Asker> {
  if (name === "host") return { kind: "host" };
  const container = containerNamed(world.containers, name);
  if (container) {
    const place = world.placeOf(container);
    if (place === world.host) return { kind: "host" };
    if (place) return { kind: "container", container, place };
    throw new PontoonError(
      "NOT_RUNNING",
      name,
      `${name} sends nothing: ${container.running ? "its network namespace cannot be entered from here" : "it does not run; start it"}`,
    );
  }
  if (isAddress(name)) return { kind: "outside", name, ip: canonicalForm(name) };
  const found = await resolveFor({ kind: "host" }, name, new ControlClient(""));
  const ip = found.kind === "resolved" ? found.ips[0] : undefined;
  if (ip !== undefined) return { kind: "outside", name, ip };
  throw new PontoonError(
    "NO_SUCH_CONTAINER",
    name,
    `${name} is neither a container or sandbox, nor host, nor an address or name outside; see \`pontoon status\``,
  );
}

async function goalOf(world: LiveWorld, asker: Asker, name: string, client: ControlClient): Promise<Goal> {
  if (isAddress(name)) return { kind: "address", ip: name };
  if (name === "host") return { kind: "host" };
  const container = containerNamed(world.containers, name);
  if (asker.kind !== "container" && container) return { kind: "container", container };
  return resolveFor(asker, name, client);
}

/** By name, id, or the beginning of an id. */
function containerNamed(containers: readonly Container[], name: string): Container | undefined {
  return (
    containers.find((one) => one.name === name) ??
    (name.length < 4 ? undefined : containers.find(({ id }) => id.startsWith(name)))
  );
}

async function probed(result: Trace, { asker, transport, port }: Request): Promise<Trace> {
  const ip = result.sentTo;
  if (asker.kind === "outside" || ip === undefined) {
    const step = {
      kind: "probe",
      verdict: "warns",
      where: result.from,
      text: "nothing can be sent from there",
    } as const;
    return { ...result, steps: [...result.steps, step] };
  }
  const at = { ip, port, transport };
  return withProbe(
    result,
    at,
    await askFrom(asker.kind === "host" ? undefined : asker.place.path, { kind: "send", ...at }),
  );
}
