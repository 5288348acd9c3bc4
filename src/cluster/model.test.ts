// Thousands of schedules of several hosts that claim, release, crash, lose touch and are forgotten: the real code on a simulated store.
import fc from "fast-check";
import { pino } from "pino";
import t from "tap";
import { errorCode } from "../../common/errors.js";
import { Cluster } from "./cluster.js";
import { Mirror } from "./mirror.js";
import { keys, stateBelow, type HostRecord, type SharedEndpoint, type SharedNetwork } from "./records.js";
import { SimulatedStore, SimulatedWay, type Fate } from "./testing/simulated-store.js";
import { joining } from "./transactions.js";

const network: SharedNetwork = {
  id: "n1",
  name: "demo",
  created: "2026-01-01T00:00:00Z",
  subnets: [{ subnet: "10.88.0.0/24", gateway: "10.88.0.1" }],
  internal: false,
  masquerade: true,
  mtu: 1450,
  vni: 0x100001,
  labels: {},
};
const log = pino({ level: "silent" });
const expected = [
  "CLUSTER_AWAY",
  "CLUSTER_UNCERTAIN",
  "HOST_ALIVE",
  "HOST_UNKNOWN",
  "ENDPOINT_NAME_TAKEN",
  "HOST_FORGOTTEN",
  "NETWORK_UNKNOWN",
];

type Step =
  | {
      readonly kind: "claim";
      readonly name: string;
      readonly ip: number;
      readonly fates: Fate[];
      readonly crashes: boolean;
    }
  | { readonly kind: "release"; readonly which: number; readonly fates: Fate[] }
  | { readonly kind: "settle"; readonly fates: Fate[] }
  | { readonly kind: "hear" | "cut" | "heal" | "deliver" }
  | { readonly kind: "forget"; readonly other: number };

const fates = fc.array(fc.constantFrom<Fate>("answered", "lost", "done unheard", "done later"), { maxLength: 2 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("claim" as const),
      name: fc.constantFrom("a", "b", "c"),
      ip: fc.integer({ min: 2, max: 5 }),
      fates,
      crashes: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("release" as const), which: fc.nat(3), fates }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("settle" as const), fates }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom("hear" as const, "cut" as const, "heal" as const, "deliver" as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("forget" as const), other: fc.nat(2) }) },
);
/** Steps at the same time: one of each host, at most. */
const rounds = fc.array(fc.array(step, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 12 });

let made = 0;

/** A host: what is registered there outlives a crash of its daemon. */
class Host {
  readonly record: HostRecord;
  readonly registered = new Map<string, SharedEndpoint>();
  readonly way: SimulatedWay;
  readonly mirror = new Mirror();
  readonly cluster: Cluster;
  conflicts: readonly string[] = [];
  wasForgotten = false;

  constructor(
    number: number,
    private readonly store: SimulatedStore,
    turn: () => Promise<unknown>,
  ) {
    this.record = { id: `h${number}`, name: `host${number}`, advertise: `10.99.0.${number}`, joined: "" };
    this.way = new SimulatedWay(store, turn);
    this.cluster = new Cluster(this.record, this.mirror, this.way, log);
    this.join();
  }

  /** As a membership does whenever the store is reached: registered and in touch. */
  join(): void {
    const { records } = this.store.read(keys.host(this.record.id));
    if (records.size === 0) this.store.commit(joining(this.record, undefined));
    this.store.commit({ requires: [], changes: [{ key: keys.alive(this.record.id), value: { since: "" } }] });
    this.hear();
  }

  hear(): void {
    for (const news of this.store.news)
      if (news.revision > this.mirror.revision)
        this.mirror.apply({ ...news, changes: news.changes.filter(({ key }) => key.startsWith(stateBelow)) });
  }

  /** Out of touch for so long that its presence has run out. */
  expire(): void {
    this.way.isCut = true;
    this.store.commit({ requires: [], changes: [{ key: keys.alive(this.record.id), value: undefined }] });
  }

  async claim({ name, ip, crashes }: { name: string; ip: number; crashes: boolean }): Promise<void> {
    const number = made++;
    const endpoint = { id: `e${number}`, network: network.id, host: this.record.id, sandbox: `s${number}` };
    const ipv4 = `10.88.0.${ip}`;
    const shared = { ...endpoint, name, hostname: name, aliases: [], exposed: [], ipv4, mac: `02:42:0a:58:00:0${ip}` };
    const { kind } = await this.cluster.claim(shared);
    if (kind === "done" && !crashes) this.registered.set(shared.id, shared);
  }

  async release(which: number): Promise<void> {
    const endpoint = [...this.registered.values()][which];
    if (!endpoint) return;
    this.registered.delete(endpoint.id);
    await this.cluster.release([endpoint]);
  }

  async settle(): Promise<void> {
    const conflicts = await this.cluster.settle([...this.registered.values()]);
    this.conflicts = conflicts.map(({ endpoint }) => endpoint.id);
  }
}

async function take(host: Host, hosts: readonly Host[], store: SimulatedStore, step: Step): Promise<void> {
  if ("fates" in step) host.way.fates.push(...step.fates);
  try {
    switch (step.kind) {
      case "claim":
        return await host.claim(step);
      case "release":
        return await host.release(step.which);
      case "settle":
        return await host.settle();
      case "forget":
        return await forget(host, hosts[step.other % hosts.length]!);
      case "hear":
        return host.hear();
      case "cut":
        return host.expire();
      case "deliver":
        return store.deliverLate();
      case "heal":
        host.way.isCut = false;
        return host.join();
    }
  } catch (error) {
    if (!expected.includes(errorCode(error) ?? "")) throw error;
  } finally {
    host.way.fates.length = 0;
  }
}

async function forget(host: Host, other: Host): Promise<void> {
  if (other === host || !other.way.isCut) return;
  host.hear();
  if (!host.mirror.hosts.has(other.record.id)) return;
  other.wasForgotten = true; // in part, if it fails
  await host.cluster.forget(other.record.id);
}

/** What is true at every moment, whatever is under way. @returns what is wrong */
function broken(store: SimulatedStore, hosts: readonly Host[]): string | undefined {
  const { records } = store.read("");
  const endpoints = [...records.values()].filter(({ key }) => key.startsWith(keys.endpointsOn(network.id)));
  const addresses = [...records.values()].filter(({ key }) => key.startsWith(keys.taken.address(network.id, "")));
  const owners = new Set(endpoints.map(({ value }) => (value as SharedEndpoint).id));
  if (addresses.length !== endpoints.length) return "an address is taken for nobody, or an endpoint has none";
  for (const { value } of addresses)
    if (!owners.has((value as { endpoint: string }).endpoint)) return "an address belongs to no endpoint";
  if (endpoints.length > 0 && !records.has(keys.network(network.id))) return "endpoints are on a network that is gone";
  for (const { registered, wasForgotten, record } of hosts)
    for (const { id, name } of registered.values())
      if (!wasForgotten && !owners.has(id)) return `${name} of ${record.name} is there, and is not claimed`;
  return undefined;
}

/** Everybody is in touch, has heard everything, and has compared. */
async function calm(store: SimulatedStore, hosts: readonly Host[]): Promise<void> {
  store.deliverLate();
  for (let round = 0; round < 2; round++)
    for (const host of hosts) {
      host.way.isCut = false;
      host.join();
      await host.settle();
    }
}

t.test(
  "whatever happens, no name and no address is had twice, and in the end the store says what hosts have",
  async (t) => {
    await fc.assert(
      fc.asyncProperty(rounds, fc.scheduler(), async (rounds, scheduler) => {
        const store = new SimulatedStore();
        store.commit({ requires: [], changes: [{ key: keys.network(network.id), value: network }] });
        let isCalm = false;
        const turn = () => (isCalm ? Promise.resolve() : scheduler.schedule(Promise.resolve()));
        const hosts = [1, 2, 3].map((number) => new Host(number, store, turn));
        for (const round of rounds) {
          await scheduler.waitFor(Promise.all(round.map((step, at) => take(hosts[at]!, hosts, store, step))));
          const wrong = broken(store, hosts);
          if (wrong !== undefined) throw new Error(wrong);
        }
        isCalm = true;
        await calm(store, hosts);
        const { records } = store.read(keys.endpointsOn(network.id));
        const claimed = [...records.values()].map(({ value }) => (value as SharedEndpoint).id).sort();
        const had = hosts.flatMap(({ registered, conflicts }) =>
          [...registered.keys()].filter((id) => !conflicts.includes(id)),
        );
        if (JSON.stringify(claimed) !== JSON.stringify(had.sort()))
          throw new Error(`the store has ${claimed.join()}, and hosts have ${had.join()}`);
        const wrong = broken(store, []);
        if (wrong !== undefined) throw new Error(wrong);
        if (hosts.some(({ wasForgotten, conflicts }) => !wasForgotten && conflicts.length > 0))
          throw new Error("a host that was not forgotten has lost something");
      }),
      { numRuns: 3000, seed: Number(process.env["PONTOON_TEST_SEED"] ?? 14) }, // the same each time, unless another one is asked for,
    );
    t.pass("3000 schedules");
  },
);
