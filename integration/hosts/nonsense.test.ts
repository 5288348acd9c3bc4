import t from "tap";
import { run } from "../networks/host.js";
import { ClusterLab, create, prepare, untilPings } from "./hosts.js";

// What others write into the store is theirs to get wrong.

t.test("nonsense in the store stops nothing else", async (t) => {
  const lab = await ClusterLab.start(t);
  const [east, west] = await Promise.all([lab.host(1), lab.host(2)]);
  const put = (key: string, value: unknown) => lab.etcd.etcdctl("put", `/pontoon/v1/${key}`, JSON.stringify(value));
  const network = { created: "", internal: false, masquerade: true, mtu: 1450, labels: {} };
  const endpoint = { hostname: "", aliases: [], exposed: [], mac: "02:00:00:00:00:01", ipv4: "10.66.0.9" };
  await put("state/networks/a", 7);
  await put("state/networks/b", { ...network, id: "b", name: "b", vni: 9, subnets: [{ subnet: "x", gateway: "y" }] });
  const odd = [{ subnet: "10.66.0.5/24", gateway: "10.1.0.1", ipRange: "10.2.0.0/30" }];
  await put("state/networks/c", { ...network, id: "c", name: "c", vni: 9, subnets: odd });
  await put("state/hosts/h", { id: "h", name: "h", advertise: "nowhere; reboot", joined: "" });
  await put("state/alive/h", { since: "" });
  await put("state/endpoints/c/e", { ...endpoint, id: "e", network: "c", host: "h", sandbox: "s", name: "e" });
  await prepare([east, west]);
  t.equal(await create(east, "web"), "");
  t.equal(await create(west, "app"), "");
  await untilPings(east, "web", "app");
  for (const { host, number, pontoon } of [east, west]) {
    t.equal(await pontoon.stop(), 0);
    const again = await lab.daemon(host, number);
    t.match(await run(again, "network ls"), /demo/, "a start takes no harm either");
  }
});
