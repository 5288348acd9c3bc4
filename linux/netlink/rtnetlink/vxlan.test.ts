import { execFileSync } from "node:child_process";
import t from "tap";
import { insideNewNamespace } from "../../netns.js";
import { deleteForwarding, forwardingOf, putForwarding } from "./forwarding-entries.js";
import { hasLinkKind, hasWireguard } from "./link-kinds.js";
import { changeLink, linkNamed, linksOf, newBridge } from "./links.js";
import { deleteNeighbour, neighboursOf, putNeighbour } from "./neighbours.js";
import { Rtnetlink } from "./rtnetlink.js";
import { makeQuietPort, newVxlan } from "./vxlan.js";

const needsRoot = process.getuid?.() === 0 ? {} : { skip: "network namespaces are made by root" };
const mac = "02:42:0a:07:00:12";

function inNamespace(work: (rtnetlink: Rtnetlink) => void): void {
  insideNewNamespace(() => {
    const rtnetlink = new Rtnetlink();
    try {
      work(rtnetlink);
    } finally {
      rtnetlink.close();
    }
  });
}

/** A bridge `br0` that is up, with a port `vx0`. */
function withPort(rtnetlink: Rtnetlink, local: string): { bridge: number; link: number } {
  rtnetlink.request(
    newBridge({ name: "br0", isUp: true }),
    newVxlan({ vni: 4711, local, port: 4790 }, { name: "vx0" }),
  );
  const bridge = linkNamed(rtnetlink, "br0")!.index;
  rtnetlink.request(changeLink("vx0", { master: bridge }), makeQuietPort("vx0"), changeLink("vx0", { isUp: true }));
  return { bridge, link: linkNamed(rtnetlink, "vx0")!.index };
}

for (const local of ["192.0.2.1", "2001:db8::1"])
  t.test(`a VXLAN link that sends from ${local} is made, and told`, needsRoot, (t) => {
    inNamespace((rtnetlink) => {
      rtnetlink.request(newVxlan({ vni: 0xabcdef, local, port: 4790 }, { name: "vx0", mtu: 1430 }));
      const vxlan = { vni: 0xabcdef, local, port: 4790 };
      t.match(linkNamed(rtnetlink, "vx0"), { kind: "vxlan", mtu: 1430, vxlan, isQuietPort: false });
      const [shown] = JSON.parse(execFileSync("ip", ["-j", "-d", "link", "show", "vx0"], { encoding: "utf8" })) as {
        linkinfo: { info_data: Record<string, unknown> };
      }[];
      const { id, port, learning, ...data } = shown!.linkinfo.info_data;
      t.same({ id, port, learning }, { id: 0xabcdef, port: 4790, learning: false });
      t.equal(data.local ?? data.local6, local);
      const [failure] = rtnetlink.requestEach([newVxlan(vxlan, { name: "vx1" })]);
      t.equal(failure?.error.code, "EEXIST", "a VNI is one link's");
    });
    t.end();
  });

t.test("a port by which nothing is flooded is told from others", needsRoot, (t) => {
  inNamespace((rtnetlink) => {
    withPort(rtnetlink, "192.0.2.1");
    const isQuiet = () => linksOf(rtnetlink).find(({ name }) => name === "vx0")!.isQuietPort;
    t.equal(isQuiet(), true);
    for (const change of ["learning on", "flood on", "mcast_flood on", "bcast_flood on", "neigh_suppress off"]) {
      execFileSync("bridge", ["link", "set", "dev", "vx0", ...change.split(" ")]);
      t.equal(isQuiet(), false, change);
      rtnetlink.request(makeQuietPort("vx0"));
      t.equal(isQuiet(), true);
    }
    rtnetlink.request(changeLink("vx0", { master: 0 }));
    t.equal(isQuiet(), false);
  });
  t.end();
});

for (const [local, host] of [
  ["192.0.2.1", "192.0.2.2"],
  ["2001:db8::1", "2001:db8::2"],
] as const)
  t.test(`where a MAC address is, on ${host}, is set, listed and forgotten`, needsRoot, (t) => {
    inNamespace((rtnetlink) => {
      const { link } = withPort(rtnetlink, local);
      t.same(forwardingOf(rtnetlink, link), [], "its own address is left out");
      rtnetlink.request(putForwarding(link, mac, host), putForwarding(link, mac, host));
      const entries = () => forwardingOf(rtnetlink, link).sort((one, other) => (one.table < other.table ? -1 : 1));
      t.same(entries(), [
        { table: "bridge", mac },
        { table: "link", mac, host },
      ]);
      const shown = execFileSync("bridge", ["fdb", "show", "dev", "vx0"], { encoding: "utf8" });
      t.match(shown, `${mac} master br0 static`);
      t.match(shown, `${mac} dst ${host} self static`);
      rtnetlink.request(deleteForwarding(link, "bridge", mac));
      t.same(entries(), [{ table: "link", mac, host }]);
      rtnetlink.request(putForwarding(link, mac, local), deleteForwarding(link, "link", mac));
      t.same(entries(), [{ table: "bridge", mac }]);
      const [failure] = rtnetlink.requestEach([deleteForwarding(link, "link", mac)]);
      t.equal(failure?.error.code, "ENOENT");
    });
    t.end();
  });

t.test("neighbours are set for good, and those of others are told apart", needsRoot, (t) => {
  inNamespace((rtnetlink) => {
    const { bridge } = withPort(rtnetlink, "192.0.2.1");
    t.same(
      neighboursOf(rtnetlink, bridge).filter(({ isOurs }) => isOurs),
      [],
    );
    rtnetlink.request(putNeighbour(bridge, "10.7.0.12", mac), putNeighbour(bridge, "fd00:7::12", mac));
    execFileSync("ip", ["neighbour", "add", "10.7.0.13", "lladdr", mac, "dev", "br0", "nud", "permanent"]);
    execFileSync("ip", ["neighbour", "add", "10.7.0.14", "lladdr", mac, "dev", "br0", "nud", "reachable"]);
    t.same(
      neighboursOf(rtnetlink, bridge)
        .filter(({ ip }) => !/^(ff0|22)/.test(ip))
        .sort((one, other) => (one.ip < other.ip ? -1 : 1)),
      [
        { ip: "10.7.0.12", mac, isOurs: true },
        { ip: "10.7.0.13", mac, isOurs: false },
        { ip: "fd00:7::12", mac, isOurs: true },
      ],
    );
    rtnetlink.request(deleteNeighbour(bridge, "10.7.0.12"), deleteNeighbour(bridge, "fd00:7::12"));
    const [failure] = rtnetlink.requestEach([deleteNeighbour(bridge, "10.7.0.12")]);
    t.equal(failure?.error.code, "ENOENT");
    t.same(
      neighboursOf(rtnetlink, bridge).filter(({ isOurs }) => isOurs),
      [],
    );
  });
  t.end();
});

t.test("kinds of links that the kernel has are told, and nothing is left", needsRoot, (t) => {
  const before = execFileSync("ip", ["link"], { encoding: "utf8" });
  t.equal(hasLinkKind("bridge"), true);
  t.equal(hasLinkKind("none-such"), false);
  t.type(hasWireguard(), "boolean");
  t.equal(execFileSync("ip", ["link"], { encoding: "utf8" }), before);
  t.end();
});
