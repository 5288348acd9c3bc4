import { randomUUID } from "node:crypto";
import { join } from "node:path";
import pino from "pino";
import t, { type Test } from "tap";
import { EtcdStore } from "../../src/store/etcd/etcd-store.js";
import { parseStoreUrl } from "../../src/store/etcd/store-url.js";
import { listen, replay } from "../../src/store/testing/shared-store-suite.js";
import type { Committed, Presence } from "../../src/store/shared-store.js";
import { EtcdCluster, withoutEtcd } from "../lab/etcd.js";
import { until } from "../lab/until.js";
import { EtcdNetwork } from "./etcd-network.js";

const log = pino({ enabled: false });
/** Elections are over in a second. */
const quick = ["--heartbeat-interval=50", "--election-timeout=500"];
const ttl = 3;

t.test("etcd's members and the network fail", { skip: withoutEtcd }, async (t) => {
  const network = await EtcdNetwork.create(t, 3);
  const cluster = await EtcdCluster.start(t, { members: network.places, arguments: quick });
  const open = (t: Test, endpoints = cluster.endpoints): EtcdStore => {
    const url = `etcd://${endpoints.join(",")}`;
    const store = new EtcdStore({ endpoints: parseStoreUrl(url), prefix: `/${randomUUID()}/`, log });
    t.teardown(() => store.close());
    return store;
  };

  await t.test("the leader is killed during 500 commits", async (t) => {
    const store = open(t);
    const heard = listen(store, "n/", (await store.read("")).revision);
    const outcomes = new Map<string, Outcome>();
    const waiting = Array.from({ length: 500 }, (_, index) => `n/${index}`);
    let killed: Promise<number> | undefined;
    const work = async (): Promise<void> => {
      for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) {
        outcomes.set(key, await create(store, key));
        if (outcomes.size >= 100) killed ??= killLeader(cluster);
      }
    };
    await Promise.all(Array.from({ length: 10 }, work));
    await cluster.restart((await killed)!);

    const last = await retry(() => create(store, "n/last"));
    const { records } = await store.read("n/");
    for (const [key, outcome] of outcomes)
      if (outcome === "uncertain") t.pass(`${key}: either way`);
      else t.equal(records.get(key)?.revision, outcome === "undone" ? undefined : outcome, key);
    await heard.upTo(last as number);
    heard.stop();
    t.same(heard.lost, []);
    const told = heard.news.flatMap(({ changes }) => changes.map(({ key }) => key));
    t.equal(new Set(told).size, told.length, "nothing is told twice");
    t.same(replay(heard.news), new Map([...records].map(([key, { value }]) => [key, value])));
  });

  for (const cut of ["answers", "both ways"] as const)
    await t.test(`the host is cut off: ${cut}`, async (t) => {
      const store = open(t);
      const heard = listen(store, "", (await store.read("")).revision);
      const presence = keep(t, store);
      await until(() => presence.seen.length === 1);
      await network.cut(cut);
      const during = await create(store, "during");
      if (cut === "answers") t.equal(during, "uncertain");
      await until(() => presence.state.kind === "lost", { timeoutMs: 2 * ttl * 1000 });
      await until(() => presence.seen.length === 2);
      await network.mend();

      await until(() => presence.seen.length === 3, { timeoutMs: 10_000 });
      await heard.upTo((await retry(() => create(store, "last"))) as number);
      const { records } = await store.read("");
      if (cut === "answers") t.ok(records.has("during"), "etcd had heard it");
      if (during === "undone") t.notOk(records.has("during"));
      t.same(presence.seen, ["held", "lost", "held"]);
      t.equal(presence.state.kind, "held");
      t.same(replay(heard.news), new Map([...records].map(([key, { value }]) => [key, value])));
      t.same(heard.lost, []);
    });

  await t.test("a member that has lost the others is left", async (t) => {
    const store = open(t);
    const heard = listen(store, "", (await store.read("")).revision);
    await retry(() => create(store, "before"));
    await network.isolate(0); // the one that is asked first
    const last = (await retry(() => create(store, "last"))) as number;
    await heard.upTo(last);
    const { members, leader } = await store.health();
    t.same(
      members.map(({ healthy }) => healthy),
      [false, true, true],
    );
    t.notOk(members[0]!.isLeader);
    t.not(leader, "member1");
    t.match(members[0]!.error, /no leader|no answer/);
    await network.mend();
    await until(async () => (await store.health()).members.every(({ healthy }) => healthy), { timeoutMs: 10_000 });
  });

  await t.test("what changed meanwhile was compacted", async (t) => {
    const store = open(t, [cluster.endpoints[0]!]);
    await retry(() => create(store, "before"));
    const heard = listen(store, "", (await store.read("")).revision);
    await cluster.kill(1);
    await cluster.leader();
    await cluster.etcdctl("put", "/elsewhere", "1");
    const stdout = await cluster.etcdctl("put", "/elsewhere", "2", "--write-out=json");
    const { revision } = (JSON.parse(stdout) as { header: { revision: number } }).header;
    await cluster.etcdctl("compaction", String(revision));
    await cluster.restart(1);
    await until(() => heard.lost.length > 0, { timeoutMs: 10_000 });
    t.match(heard.lost, { length: 1, 0: { code: "STORE_COMPACTED" } });
  });

  await t.test("etcd is away for longer than a lease, and comes back as an older copy of itself", async (t) => {
    const store = open(t);
    await retry(() => create(store, "before"));
    const file = join(cluster.folder, "copy.db");
    await cluster.snapshot(1, file);
    const { revision } = await store.read("");
    for (let index = 0; index < 20; index++) await create(store, `after/${index}`);
    const heard = listen(store, "", revision);
    const presence = keep(t, store);
    await until(() => presence.seen.length === 1);
    for (const index of network.places.keys()) await cluster.kill(index + 1);
    const meanwhile = create(store, "meanwhile");
    await until(() => presence.seen.length === 2, { timeoutMs: 2 * ttl * 1000 });
    t.equal(await meanwhile, "undone");
    for (const index of network.places.keys()) await cluster.restart(index + 1);
    await until(() => presence.seen.length === 3, { timeoutMs: 10_000 });
    t.same(presence.seen, ["held", "lost", "held"]);
    t.same(heard.lost, []);

    await cluster.restore(file);
    await until(() => heard.lost.length > 0, { timeoutMs: 10_000 });
    t.match(heard.lost, { length: 1, 0: { code: "STORE_REPLACED" } });
    const { records } = await store.read("");
    t.notOk(records.has("after/0"));
    await until(() => presence.seen.at(-1) === "held" && presence.state.kind === "held", { timeoutMs: 10_000 });
    await until(async () => (await store.read("hosts/")).records.size === 1, { timeoutMs: 10_000 });
  });
});

/** The revision of what was done, or how far that is known. */
type Outcome = number | "undone" | "uncertain";

async function create(store: EtcdStore, key: string): Promise<Outcome> {
  try {
    const done: Committed = await store.commit({ requires: [{ kind: "absent", key }], changes: [{ key, value: key }] });
    return done.kind === "done" ? done.revision : "undone";
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === "STORE_UNREACHABLE") return "undone";
    if (code === "STORE_UNCERTAIN") return "uncertain";
    throw error;
  }
}

/** Until it is done; what is uncertain may be done by then, so each attempt has another key. */
async function retry(attempt: () => Promise<Outcome>): Promise<Outcome> {
  return until(async () => {
    const outcome = await attempt();
    if (outcome === "uncertain") throw new Error("uncertain");
    return typeof outcome === "number" && outcome;
  }) as Promise<number>;
}

async function killLeader(cluster: EtcdCluster): Promise<number> {
  const leader = await cluster.leader();
  await cluster.kill(leader);
  return leader;
}

function keep(t: Test, store: EtcdStore): { readonly seen: string[]; readonly state: Presence["state"] } {
  const seen: string[] = [];
  const presence = store.keepPresent({ key: "hosts/one", value: 1 }, ttl, {
    onHeld: () => void seen.push("held"),
    onLost: () => void seen.push("lost"),
  });
  t.teardown(() => presence.close());
  return {
    seen,
    get state() {
      return presence.state;
    },
  };
}
