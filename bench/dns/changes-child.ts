// Runs in the network namespace of a container that is on both networks: changes another container again and again, and
// asks 127.0.0.11 meanwhile. Arguments: the container, its network, the other network, how many turns. Prints JSON.
import { Engine } from "../../integration/lab/engine.js";
import type { DnsResponse } from "../../integration/lab/dns-message.js";
import { askUntil, ownTtl } from "./asking.js";
import type { Changed } from "./changes.js";
import { DockerEvents } from "./docker-events.js";

const dockerSocket = "/run/docker.sock";
const changeTakesAtMost = 10_000; // ms

const [id = "", network = "", other = "", turns = "1"] = process.argv.slice(2);
const engine = new Engine(dockerSocket);
const events = await DockerEvents.follow(dockerSocket);
const changes: Changed[] = [];
for (let turn = 0; turn < Number(turns); turn++) await measureTurn(turn);
process.stdout.write(JSON.stringify(changes), () => process.exit());

async function measureTurn(turn: number): Promise<void> {
  const guest = `guest${turn}`;
  const stays = `stays-on-${network}`; // an alias that the container was created with
  await measure(
    "rename",
    "rename",
    `changing${turn}`,
    isThere,
    () => engine.post(`/containers/${id}/rename?name=changing${turn}`),
    network,
  );
  await measure(
    "connect",
    "connect",
    guest,
    isThere,
    () => engine.post(`/networks/${other}/connect`, { Container: id, EndpointConfig: { Aliases: [guest] } }),
    other,
  );
  await measure("disconnect", "disconnect", guest, isGone, () =>
    engine.post(`/networks/${other}/disconnect`, { Container: id }),
  );
  // A name lives, as Docker's own resolver has it, until the container has left its network.
  await measure("stop", "disconnect", stays, isGone, () => engine.post(`/containers/${id}/stop`));
  await measure("start", "start", stays, isThere, () => engine.post(`/containers/${id}/start`), network);
}

/** @param on the network whose address must be the answer, once the change is over */
async function measure(
  kind: Changed["kind"],
  action: string,
  name: string,
  isRight: (response: DnsResponse) => boolean,
  change: () => Promise<unknown>,
  on?: string,
): Promise<void> {
  const happened = events.next(action, id);
  const changing = change();
  const asking = askUntil(name, isRight, changeTakesAtMost);
  const [event, { at, response }] = await Promise.all([happened, asking, changing]);
  const address = on === undefined ? undefined : await addressOn(on);
  if (response.addresses[0] !== address)
    throw new Error(`${kind}: ${name} has ${address}, but the answer was ${response.addresses[0]}`);
  changes.push({ kind, rightAfter: at - event.madeAt });
}

function isThere({ rcode, answers }: DnsResponse): boolean {
  return rcode === "NOERROR" && answers[0]?.ttl === ownTtl;
}

function isGone({ rcode }: DnsResponse): boolean {
  return rcode === "NXDOMAIN";
}

async function addressOn(on: string): Promise<string | undefined> {
  const state = (await engine.get(`/containers/${id}/json`)) as {
    NetworkSettings: { Networks: Record<string, { IPAddress: string }> };
  };
  return state.NetworkSettings.Networks[on]?.IPAddress;
}
