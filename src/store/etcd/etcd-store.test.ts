import pino from "pino";
import t, { type Test } from "tap";
import { EtcdCluster, withoutEtcd } from "../../../integration/lab/etcd.js";
import { until } from "../../../integration/lab/until.js";
import { sharedStoreSuite } from "../testing/shared-store-suite.js";
import { EtcdStore } from "./etcd-store.js";
import { parseStoreUrl } from "./store-url.js";

const log = pino({ enabled: false });

t.test("etcd", { skip: withoutEtcd }, async (t) => {
  const cluster = await EtcdCluster.start(t, { members: 1 });
  let spaces = 0;
  const open = (t: Test, prefix: string): EtcdStore => {
    const store = new EtcdStore({ endpoints: parseStoreUrl(cluster.url), prefix, log });
    t.teardown(() => store.close());
    return store;
  };

  await t.test("as any shared store", (t) => {
    sharedStoreSuite(t, () => {
      const prefix = `/test/${++spaces}/`;
      return (t) => Promise.resolve(open(t, prefix));
    });
    t.end();
  });

  t.test("a process that stood still does not believe that its presence is held", async (t) => {
    const store = open(t, "/still/");
    const seen: string[] = [];
    const presence = store.keepPresent({ key: "hosts/one", value: 1 }, 2, {
      onHeld: () => void seen.push("held"),
      onLost: () => void seen.push("lost"),
    });
    await until(() => seen.length === 1);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_500); // as SIGSTOP would hold it up
    t.equal(presence.state.kind, "lost");
    await until(() => seen.length === 3);
    t.same(seen, ["held", "lost", "held"]);
    t.equal((await store.read("hosts/")).records.size, 1);
  });

  t.test("health", async (t) => {
    const store = open(t, "/health/");
    const { revision } = await store.read("");
    const { members, leader, ...rest } = await store.health();
    t.same(members, [{ name: "member1", endpoint: cluster.endpoints[0], healthy: true, isLeader: true }]);
    t.equal(leader, "member1");
    t.equal(rest.revision, revision);
    t.match(rest.clusterId, /^\d+$/);
  });
});
