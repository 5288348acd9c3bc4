import { spawnSync } from "node:child_process";
import t from "tap";
import { insideNewNamespace } from "../../netns.js";
import { skipWithoutNft as skip } from "../../testing/nft.js";
import { routeFor } from "./route-lookup.js";
import { Rtnetlink } from "./rtnetlink.js";

t.test("routes are those that the kernel would take", { skip }, (t) => {
  insideNewNamespace(() => {
    const script = `
      ip link set lo up; ip link add va type veth peer name vb; ip link set va up; ip link set vb up
      ip address add 10.0.0.1/24 dev va; ip address add fd00::1/64 dev va nodad
      ip route add default via 10.0.0.254; ip route add unreachable 10.9.0.0/16
      ip route add 10.8.0.0/16 via 10.0.0.253 mtu 1300
      ip route add table 7 default via 10.0.0.252; ip rule add fwmark 5 table 7`;
    const { status, stderr } = spawnSync("sh", ["-ec", script], { encoding: "utf8" });
    t.equal(status, 0, stderr);
    const rtnetlink = new Rtnetlink();
    t.match(routeFor(rtnetlink, { to: "10.0.0.7" }), { kind: "unicast", gateway: undefined, source: "10.0.0.1" });
    t.match(routeFor(rtnetlink, { to: "192.0.2.1" }), { kind: "unicast", gateway: "10.0.0.254", source: "10.0.0.1" });
    t.match(routeFor(rtnetlink, { to: "192.0.2.1", mark: 5 }), { gateway: "10.0.0.252" });
    t.match(routeFor(rtnetlink, { to: "10.8.0.1" }), { gateway: "10.0.0.253", mtu: 1300 });
    t.match(routeFor(rtnetlink, { to: "10.0.0.1" }), { kind: "local" });
    t.match(routeFor(rtnetlink, { to: "fd00::9" }), { kind: "unicast", source: "fd00::1" });
    t.same(routeFor(rtnetlink, { to: "10.9.0.1" }), { kind: "refused", errno: "EHOSTUNREACH" });
    t.same(routeFor(rtnetlink, { to: "2001:db8::1" }), { kind: "refused", errno: "ENETUNREACH" });
    rtnetlink.close();
  });
  t.end();
});
