// Runs in the network namespace of a container: starts others and asks 127.0.0.11 for their names until they are answered.
// Arguments: the network, the number of the first container, how many. Prints what it measured as JSON.
import { createSocket, type Socket } from "node:dgram";
import { request } from "node:http";
import { createInterface } from "node:readline";
import { decodeResponse, encodeQuery } from "../integration/host/dns-message.js";
import { Engine } from "../integration/host/engine.js";
import type { Start } from "./start-latency.js";

const dockerSocket = "/run/docker.sock";
const askEvery = 1; // ms
const startTakesAtMost = 10_000; // ms
const triesForClock = 3;
/** Tells pontoon's own records from what it takes over from Docker's resolver, which gets the default TTL. */
const ownTtl = 7;

interface DockerEvent {
  readonly Actor: { readonly ID: string };
  readonly timeNano: number;
}

interface StartEvent {
  /** Milliseconds on this process's clock. */
  readonly madeAt: number;
  readonly arrivedAt: number;
}

const [network = "", first = "0", count = "1"] = process.argv.slice(2);
const engine = new Engine(dockerSocket);
const onStart = new Map<string, (event: StartEvent) => void>();
await followStarts();
const starts: Start[] = [];
for (let index = 0; index < Number(count); index++) starts.push(await measureStart(`late${Number(first) + index}`));
process.stdout.write(JSON.stringify(starts), () => process.exit());

async function measureStart(name: string): Promise<Start> {
  const id = await createContainer(name);
  const started = new Promise<StartEvent>((resolve) => onStart.set(id, resolve));
  const asking = askUntilAnswered(name);
  await engine.post(`/containers/${id}/start`);
  const [event, answer] = await Promise.all([started, asking]);
  const address = await addressOf(id);
  await engine.delete(`/containers/${id}?force=true`);
  if (answer.address !== address) throw new Error(`${name} has ${address}, but the answer was ${answer.address}`);
  return { answeredAfter: answer.at - event.madeAt, eventDelay: event.arrivedAt - event.madeAt };
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
  const state = (await engine.get(`/containers/${id}/json`)) as { NetworkSettings: { Networks: Record<string, { IPAddress: string }> } };
  return state.NetworkSettings.Networks[network]?.IPAddress;
}

/** Asks again and again, also while answers are outstanding, and resolves with the first that comes from our own records. */
function askUntilAnswered(name: string): Promise<{ at: number; address: string | undefined }> {
  return new Promise((resolve, reject) => {
    const socket = createSocket("udp4");
    const asking = setInterval(() => ask(socket, name), askEvery);
    const deadline = setTimeout(() => finish(() => reject(new Error(`${name} was not answered within ${startTakesAtMost} ms`))), startTakesAtMost);
    const finish = (settle: () => void) => {
      clearInterval(asking);
      clearTimeout(deadline);
      socket.close();
      settle();
    };
    socket.on("error", (error) => finish(() => reject(error)));
    socket.on("message", (message) => {
      const at = performance.now();
      const { rcode, answers, addresses } = decodeResponse(message, 0);
      if (rcode === "NOERROR" && answers[0]?.ttl === ownTtl) finish(() => resolve({ at, address: addresses[0] }));
    });
  });
}

function ask(socket: Socket, name: string): void {
  socket.send(encodeQuery(name, "A"), 53, "127.0.0.11");
}

/** Subscribes to the start of containers; resolves when Docker has taken the subscription. */
function followStarts(): Promise<void> {
  const filters = encodeURIComponent(JSON.stringify({ type: ["container"], event: ["start"] }));
  return new Promise((resolve, reject) => {
    const subscription = request({ socketPath: dockerSocket, path: `/events?filters=${filters}` }, (response) => {
      createInterface({ input: response }).on("line", onEventLine);
      resolve();
    });
    subscription.on("error", reject);
    subscription.end();
  });
}

function onEventLine(line: string): void {
  const arrivedAt = performance.now();
  const { Actor, timeNano } = JSON.parse(line) as DockerEvent;
  onStart.get(Actor.ID)?.({ madeAt: timeNano / 1e6 - wallClockAhead(), arrivedAt });
}

/**
 * What to add to this process's clock to get the machine's time of day, milliseconds. That is told in whole ones, so it
 * is exact only when one has just begun; whoever interrupts this makes it too small, never too large.
 */
function wallClockAhead(): number {
  const tries = Array.from({ length: triesForClock }, () => {
    const begun = Date.now();
    while (Date.now() === begun);
    return Date.now() - performance.now();
  });
  return Math.max(...tries);
}
