import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import t, { type Test } from "tap";
import { PontoonError } from "../../common/errors.js";
import { EmbeddedSharedStore } from "../store/embedded-shared-store.js";
import { EmbeddedStore } from "../store/embedded-store.js";
import type { Follower, SharedStore } from "../store/shared-store.js";
import { Membership, type Identity } from "./membership.js";
import { Mirror } from "./mirror.js";
import { keys, type SharedNetwork } from "./records.js";

/** A store that several memberships of one process share. */
function sharedStore(t: Test): SharedStore {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  const store = new EmbeddedStore(folder, () => undefined);
  store.open();
  t.teardown(async () => {
    await store.close();
    rmSync(folder, { recursive: true });
  });
  return new EmbeddedSharedStore(store);
}

class Host {
  readonly mirror = new Mirror();
  joined = 0;
  readonly lost: string[] = [];
  cluster: string | undefined;
  readonly membership: Membership;

  constructor(
    t: Test,
    store: SharedStore,
    number: number,
    { advertise = `10.99.0.${number}`, cluster = "", key = 0 } = {},
  ) {
    this.cluster = cluster === "" ? undefined : cluster;
    // eslint-disable-next-line @typescript-eslint/no-this-alias -- a getter of another object
    const host = this;
    const identity: Identity = {
      host: `h${number}`,
      get cluster() {
        return host.cluster;
      },
      joined: (id) => (this.cluster = id),
    };
    const wireguard = { publicKey: Buffer.alloc(32, key).toString("base64"), port: 51_840 };
    const record = { id: `h${number}`, name: `host${number}`, advertise, joined: "", ...(key > 0 && { wireguard }) };
    this.membership = new Membership(store, this.mirror, record, identity, pino({ level: "silent" }), {
      onChange: () => undefined,
      onNetworksLost: (networks) => this.lost.push(...networks.map(({ name }) => name)),
      onJoined: () => this.joined++,
    });
    t.teardown(() => this.membership.stop());
    this.membership.start();
  }

  get state(): string {
    return this.membership.state.kind;
  }
}

async function until(holds: () => boolean, what: string): Promise<void> {
  for (const giveUpAt = performance.now() + 30_000; !holds(); await new Promise((resolve) => setTimeout(resolve, 5)))
    if (performance.now() > giveUpAt) throw new Error(`never happened: ${what}`);
}

t.test("hosts that join one store are one cluster, and know each other", async (t) => {
  const store = sharedStore(t);
  const [east, west] = [new Host(t, store, 1), new Host(t, store, 2)];
  await until(() => east.state === "joined" && west.state === "joined", "both have joined");
  await until(() => east.mirror.isAlive("h2") && west.mirror.isAlive("h1"), "they know each other");
  t.type(east.cluster, "string");
  t.equal(east.cluster, west.cluster);
  t.equal(west.mirror.hosts.get("h1")?.advertise, "10.99.0.1");
});

t.test("a host that has another key, or none any more, says so when it joins", async (t) => {
  const store = sharedStore(t);
  const keyOf = async () => {
    const { records } = await store.read(keys.host("h1"));
    return (records.get(keys.host("h1"))?.value as { wireguard?: { publicKey: string } }).wireguard?.publicKey;
  };
  for (const key of [0, 1, 2, 0]) {
    const host = new Host(t, store, 1, { key });
    await until(() => host.state === "joined", "it has joined");
    t.equal(await keyOf(), key === 0 ? undefined : Buffer.alloc(32, key).toString("base64"));
    host.membership.stop();
  }
});

t.test("who has no place among others is told why, and leaves nothing there", async (t) => {
  const store = sharedStore(t);
  const east = new Host(t, store, 1);
  await until(() => east.state === "joined", "the first has joined");
  const stranger = new Host(t, store, 2, { cluster: "another" });
  const double = new Host(t, store, 3, { advertise: "10.99.0.1" });
  await until(() => stranger.state === "refused" && double.state === "refused", "both are refused");
  t.match(stranger.membership.state, { code: "CLUSTER_OTHER" });
  t.match(double.membership.state, { code: "ADVERTISE_TAKEN" });
  t.throws(() => stranger.membership.requireJoined(), { code: "CLUSTER_OTHER" });
  await t.rejects(double.membership.commit({ requires: [], changes: [] }), { code: "ADVERTISE_TAKEN" });
  t.same([...(await store.read("state/hosts/")).records.keys()], [keys.host("h1")]);
});

t.test("a store's record that makes no sense is said so, and not asked for without end", async (t) => {
  const store = sharedStore(t);
  await store.commit({ requires: [], changes: [{ key: keys.cluster, value: "of a later version" }] });
  const east = new Host(t, store, 1);
  await until(() => east.state === "refused", "it is refused");
  t.match(east.membership.state, { code: "CLUSTER_OTHER", reason: /makes no sense/ });
});

t.test("an emptied store becomes the same cluster again", async (t) => {
  const east = new Host(t, sharedStore(t), 1, { cluster: "mine" });
  await until(() => east.state === "joined", "it has joined");
  t.equal(east.mirror.cluster?.id, "mine");
});

t.test("networks that a store has lost are told of, and none that was removed", async (t) => {
  const inner = sharedStore(t);
  let isDeaf = false;
  const followers: Follower[] = [];
  // The real one, of which a host may not hear for a while.
  const store: SharedStore = {
    read: (prefix) => inner.read(prefix),
    commit: (transaction) => inner.commit(transaction),
    keepPresent: (...given) => inner.keepPresent(...given),
    close: () => inner.close(),
    follow: (prefix, after, follower) => {
      followers.push(follower);
      const onNews: Follower["onNews"] = (news) => {
        if (!isDeaf) follower.onNews(news);
      };
      return inner.follow(prefix, after, { onNews, onLost: (error) => follower.onLost(error) });
    },
  };
  const put = (key: string, value: unknown) => inner.commit({ requires: [], changes: [{ key, value }] });
  const readAgain = async (code: string) => {
    const before = east.joined;
    followers.at(-1)!.onLost(new PontoonError(code, "etcd", "read all again"));
    await until(() => east.joined > before, "it has joined again");
    isDeaf = false;
  };
  const east = new Host(t, store, 1);
  await until(() => east.state === "joined", "it has joined");
  for (const id of ["n1", "n2", "n3"]) await put(keys.network(id), networkNamed(id));
  await until(() => east.mirror.networks.size === 3, "it knows them");

  isDeaf = true;
  await put(keys.network("n1"), undefined);
  await readAgain("STORE_COMPACTED");
  t.same([...east.mirror.networks.keys()], ["n2", "n3"]);
  t.same(east.lost, [], "what is gone from the same store was removed");

  isDeaf = true;
  await put(keys.network("n2"), undefined);
  await readAgain("STORE_REPLACED");
  t.same(east.lost, ["n2"], "a store that was restored from a backup has lost it");

  isDeaf = true;
  await put(keys.network("n3"), undefined);
  await put(keys.cluster, { id: east.cluster, created: "when another host came to an empty store" });
  await readAgain("STORE_COMPACTED");
  t.same(east.lost, ["n2", "n3"], "so has one that was empty in between");
});

function networkNamed(id: string): SharedNetwork {
  const none = { internal: false, masquerade: true, mtu: 1450, vni: 5000, labels: {}, subnets: [], created: "" };
  return { id, name: id, ...none };
}

t.test("a host that was forgotten, or whose presence somebody has removed, joins again", async (t) => {
  const store = sharedStore(t);
  const east = new Host(t, store, 1);
  await until(() => east.state === "joined", "it has joined");
  const before = east.joined;
  await store.commit({
    requires: [],
    changes: [
      { key: keys.host("h1"), value: undefined },
      { key: keys.taken.underlay("10.99.0.1"), value: undefined },
    ],
  });
  await until(() => east.mirror.hosts.has("h1") && east.joined > before, "it is a host again");
  await store.commit({ requires: [], changes: [{ key: keys.alive("h1"), value: undefined }] });
  await until(() => east.mirror.isAlive("h1"), "it is in touch again");
  t.equal(east.state, "joined");
});
