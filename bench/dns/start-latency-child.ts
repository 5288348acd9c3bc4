// Runs in the network namespace of a container: starts others and asks 127.0.0.11 for their names until they are answered.
// Arguments: the network, the number of the first container, how many. Prints what it measured as JSON.
import { Engine } from "../../integration/lab/engine.js";
import { askUntil, ownTtl } from "./asking.js";
import { DockerEvents } from "./docker-events.js";
import type { Start } from "./start-latency.js";

const dockerSocket = "/run/docker.sock";
const startTakesAtMost = 10_000; // ms

const [network = "", first = "0", count = "1"] = process.argv.slice(2);
const engine = new Engine(dockerSocket);
const events = await DockerEvents.follow(dockerSocket);
const starts: Start[] = [];
for (let index = 0; index < Number(count); index++) starts.push(await measureStart(`late${Number(first) + index}`));
process.stdout.write(JSON.stringify(starts), () => process.exit());

async function measureStart(name: string): Promise<Start> {
  const id = await createContainer(name);
  const started = events.next("start", id);
  const asking = askUntil(
    name,
    ({ rcode, answers }) => rcode === "NOERROR" && answers[0]?.ttl === ownTtl,
    startTakesAtMost,
  );
  await engine.post(`/containers/${id}/start`);
  const [event, { at, response }] = await Promise.all([started, asking]);
  const address = await addressOf(id);
  await engine.delete(`/containers/${id}?force=true`);
  if (response.addresses[0] !== address)
    throw new Error(`${name} has ${address}, but the answer was ${response.addresses[0]}`);
  return { answeredAfter: at - event.madeAt, eventDelay: event.arrivedAt - event.madeAt };
}

async function createContainer(name: string): Promise<string> {
  const made = await engine.post(`/containers/create?name=${name}`, {
    Image: "busybox",
    Cmd: ["sleep", "1000000"],
    Labels: { "pontoon.dns.ttl": String(ownTtl) },
    HostConfig: { NetworkMode: network },
  });
  return (made as { Id: string }).Id;
}

async function addressOf(id: string): Promise<string | undefined> {
  const state = (await engine.get(`/containers/${id}/json`)) as {
    NetworkSettings: { Networks: Record<string, { IPAddress: string }> };
  };
  return state.NetworkSettings.Networks[network]?.IPAddress;
}
