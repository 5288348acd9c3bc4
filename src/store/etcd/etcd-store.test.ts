import pino from "pino";
import t, { type Test } from "tap";
import { EtcdCluster, withoutEtcd } from "../../../integration/lab/etcd.js";
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
