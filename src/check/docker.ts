import { daemonSettingsOf } from "../docker/daemon-dns.js";
import { parseDockerAddress } from "../docker/address.js";
import { WITHOUT_DOCKER } from "../docker/docker.js";
import { Engine } from "../docker/engine.js";
import { withDeadline } from "../../common/deadline.js";
import { describeError, errorCode } from "../../common/errors.js";
import { Inventory } from "../inventory/inventory.js";
import { isAsleep, placeOfDockerd, refusalAt } from "../docker/dockerd.js";
import type { DockerFacts } from "./facts.js";

const answerTime = 5000; // ms
const atOnce = 32;

/** Asks dockerd who it is, and how it was started. Throws DOCKER_HOST_INVALID, DOCKER_CERTIFICATES. */
export async function probeDocker(host: string): Promise<{ facts: DockerFacts; inventory: Inventory | undefined }> {
  if (host === WITHOUT_DOCKER) return { facts: { kind: "none", host }, inventory: undefined };
  const address = parseDockerAddress(host, process.env);
  const engine = new Engine(host, address);
  try {
    if (address.kind === "unix" && (await isAsleep(address.path)))
      return {
        facts: { kind: "unreachable", host, reason: "stopped; systemd holds its socket" },
        inventory: undefined,
      };
    const place = (await placeOfDockerd(address)) ?? { kind: "untold" };
    const refusal = await soon(refusalAt(engine, place));
    if (refusal !== undefined) return { facts: { kind: "refused", host, reason: refusal }, inventory: undefined };
    const [version, info] = await soon(Promise.all([engine.version(), engine.info()]));
    const pid = place.kind === "seen" ? place.pid : undefined;
    const { iptables, userlandProxy } = await daemonSettingsOf(pid);
    const facts: DockerFacts = { kind: "reachable", host, version, pid, ...info, iptables, userlandProxy };
    return { facts, inventory: await inventoryOf(engine) };
  } catch (error) {
    if (errorCode(error) === "EACCES") return { facts: { kind: "not-allowed", host }, inventory: undefined };
    return {
      facts: { kind: "unreachable", host, reason: errorCode(error) ?? describeError(error) },
      inventory: undefined,
    };
  }
}

/** Containers and networks as they are now. */
async function inventoryOf(engine: Engine): Promise<Inventory> {
  const inventory = new Inventory();
  const [networks, containers] = await soon(Promise.all([engine.networkIds(), engine.containerIds()]));
  await inTurns(networks, async (id) => {
    const found = await soon(engine.network(id));
    if (found) inventory.source("docker").putNetwork(found.network);
  });
  await inTurns(containers, async (id) => {
    const found = await soon(engine.container(id)).catch(() => undefined); // it is being started: dockerd holds its lock
    if (found) inventory.source("docker").putContainer(found);
  });
  return inventory;
}

async function inTurns(ids: readonly string[], look: (id: string) => Promise<void>): Promise<void> {
  for (let start = 0; start < ids.length; start += atOnce)
    await Promise.all(ids.slice(start, start + atOnce).map(look));
}

async function soon<Value>(answer: Promise<Value>): Promise<Value> {
  return withDeadline(answerTime, answer, () => new Error(`no answer within ${answerTime / 1000} s`));
}
