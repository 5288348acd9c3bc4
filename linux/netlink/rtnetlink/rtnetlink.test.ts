import t from "tap";
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { isNamespace, linkNamespace, makeNamedNamespace, removeNamedNamespace } from "../../named-namespace.js";
import { insideNamespace, insideNewNamespace } from "../../netns.js";
import { addAddress, addressesOf, addRoute, deleteAddress, mainTable, routesOf } from "./addresses.js";
import { changeLink, deleteGroup, deleteLink, linkNamed, linksOf, newBridge, newVeth } from "./links.js";
import { Attributes } from "../attributes.js";
import { macvlanModes, newChild, type ChildKind } from "./child-links.js";
import { mountPrivately } from "../../testing/private-mounts.js";
import { Rtnetlink } from "./rtnetlink.js";

const needsRoot = process.getuid?.() === 0 ? {} : { skip: "network namespaces are made by root" };

/** `ip` is asked what there is, not the code that made it. */
function shown(...args: string[]): Record<string, unknown>[] {
  return JSON.parse(execFileSync("ip", ["-j", "-d", ...args], { encoding: "utf8" }) || "[]") as Record<
    string,
    unknown
  >[];
}

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

t.test("links are made, changed, listed and deleted", needsRoot, (t) => {
  inNamespace((rtnetlink) => {
    rtnetlink.request(
      newBridge({ name: "br0", mtu: 1400, isUp: true }),
      changeLink("br0", { alias: "pontoon network web" }),
    );
    const bridge = linkNamed(rtnetlink, "br0");
    t.match(bridge, { name: "br0", kind: "bridge", isUp: true, mtu: 1400, alias: "pontoon network web" });
    rtnetlink.request(
      newVeth({ name: "v0", master: bridge!.index, mtu: 1400 }, { name: "p0", mac: "02:42:0a:59:00:02" }),
      changeLink("v0", { alias: "an end" }),
    );
    const [link] = shown("link", "show", "v0");
    t.match(link, { ifname: "v0", master: "br0", ifalias: "an end", mtu: 1400, linkinfo: { info_kind: "veth" } });
    t.match(linkNamed(rtnetlink, "p0"), { mac: "02:42:0a:59:00:02", isUp: false, master: undefined });
    t.equal(linkNamed(rtnetlink, "v0")?.peer, linkNamed(rtnetlink, "p0")?.index);
    rtnetlink.request(
      changeLink("v0", { isUp: true, master: 0, group: 77 }),
      changeLink(linkNamed(rtnetlink, "p0")!.index, { name: "eth7" }),
    );
    t.match(linkNamed(rtnetlink, "v0"), { isUp: true, master: undefined, group: 77 });
    t.same(
      linksOf(rtnetlink)
        .map(({ name }) => name)
        .sort(),
      ["br0", "eth7", "lo", "v0"],
    );
    rtnetlink.request(deleteGroup(77));
    t.equal(linkNamed(rtnetlink, "eth7"), undefined, "the peer goes with it");
    rtnetlink.request(deleteLink("br0"));
    t.same(
      shown("link").map(({ ifname }) => ifname),
      ["lo"],
    );
  });
  t.end();
});

t.test("links on a parent are asked for as ip does it", (t) => {
  const dataOf = (child: ChildKind) => {
    const { type, body } = newChild(child, 7, { name: "x" });
    const attributes = new Attributes(body.subarray(16));
    const info = attributes.nested(18)!;
    return [type, attributes.raw(5)?.readUInt32LE(), info.text(1), info.raw(2)?.toString("hex")];
  };
  // Nested attributes of one number each: IFLA_MACVLAN_MODE (32 bits), IFLA_IPVLAN_MODE and IFLA_VLAN_ID (16 bits).
  t.same(dataOf({ kind: "macvlan", mode: "bridge" }), [16, 7, "macvlan", "0800010004000000"]);
  t.same(dataOf({ kind: "macvlan", mode: "passthru" }), [16, 7, "macvlan", "0800010008000000"]);
  t.same(dataOf({ kind: "ipvlan", mode: "l3s" }), [16, 7, "ipvlan", "060001000200"]);
  t.same(dataOf({ kind: "vlan", id: 4094 }), [16, 7, "vlan", "06000100fe0f"]);
  t.end();
});

t.test("a macvlan is born in another namespace, with its parent in this one", needsRoot, (t) => {
  inNamespace((rtnetlink) => {
    rtnetlink.request(newVeth({ name: "parent0" }, { name: "parent1" }));
    const parent = linkNamed(rtnetlink, "parent0")!.index;
    for (const mode of macvlanModes.filter((each) => each !== "passthru"))
      rtnetlink.request(newChild({ kind: "macvlan", mode }, parent, { name: mode, mac: "02:00:00:00:00:07" }));
    t.match(linkNamed(rtnetlink, "vepa"), { kind: "macvlan", peer: parent, mac: "02:00:00:00:00:07" });
    for (const child of [
      { kind: "ipvlan", mode: "l2" },
      { kind: "vlan", id: 10 },
    ] as const)
      try {
        rtnetlink.request(newChild(child, parent, { name: child.kind }));
        t.equal(linkNamed(rtnetlink, child.kind)?.kind, child.kind);
      } catch (error) {
        // A kernel without it, or one that has macvlans on the parent already.
        t.match(error, { code: /^(ENOTSUP|EBUSY)$/ }, child.kind);
      }
  });
  t.end();
});

t.test("addresses and routes", needsRoot, (t) => {
  inNamespace((rtnetlink) => {
    rtnetlink.request(newBridge({ name: "br0", isUp: true }));
    const { index } = linkNamed(rtnetlink, "br0")!;
    const addresses = [
      { ip: "10.89.0.1", prefix: 24 },
      { ip: "fd00:89::1", prefix: 64 },
    ];
    rtnetlink.request(...addresses.map((address) => addAddress(index, address)));
    const ours = addressesOf(rtnetlink).filter(({ isLinkLocal }) => !isLinkLocal);
    t.same(
      ours.map(({ ip, prefix }) => ({ ip, prefix })),
      addresses,
    );
    const ways = [
      { destination: { ip: "0.0.0.0", prefix: 0 }, gateway: "10.89.0.254", link: index, table: mainTable },
      { destination: { ip: "192.0.2.0", prefix: 24 }, gateway: "10.89.0.253", link: index, table: 1000 },
      { destination: { ip: "::", prefix: 0 }, gateway: "fd00:89::fe", link: index, table: mainTable },
      { destination: { ip: "198.51.100.0", prefix: 24 }, gateway: undefined, link: index, table: mainTable },
    ];
    rtnetlink.request(...ways.map(addRoute));
    const seen = routesOf(rtnetlink);
    for (const way of ways)
      t.ok(
        seen.some((route) => JSON.stringify(route) === JSON.stringify(way)),
        JSON.stringify(way),
      );
    t.match(shown("route", "show", "default")[0], { gateway: "10.89.0.254", dev: "br0" });
    rtnetlink.request(deleteAddress(index, addresses[0]!));
    t.notOk(addressesOf(rtnetlink).some(({ ip }) => ip === "10.89.0.1"));
  });
  t.end();
});

t.test("what the kernel refuses is said in its own words", needsRoot, (t) => {
  inNamespace((rtnetlink) => {
    rtnetlink.request(newBridge({ name: "br0", isUp: true }));
    t.throws(() => rtnetlink.request(newBridge({ name: "br0" })), { code: "EEXIST", subject: "add bridge br0" });
    t.throws(
      () =>
        rtnetlink.request(
          addRoute({
            destination: { ip: "0.0.0.0", prefix: 0 },
            gateway: "192.0.2.1",
            link: undefined,
            table: mainTable,
          }),
        ),
      { code: "ENETUNREACH", message: /default via 192\.0\.2\.1: .*gateway.*\(ENETUNREACH\)/i },
    );
    const requests = ["a", "br0", "b"].map((name) => newBridge({ name }));
    t.same(
      rtnetlink.requestEach(requests).map(({ request, error }) => [request.subject, error.code]),
      [["add bridge br0", "EEXIST"]],
    );
    t.equal(linksOf(rtnetlink).length, 4, "the others are there: lo, br0, a, b");
  });
  t.end();
});

t.test("more requests at once than the kernel's acknowledgements fit", needsRoot, (t) => {
  inNamespace((rtnetlink) => {
    rtnetlink.request(...Array.from({ length: 300 }, (_, n) => newBridge({ name: `b${n}` })));
    t.equal(linksOf(rtnetlink).length, 301);
  });
  t.end();
});

t.test("namespaces with names are those of ip netns", needsRoot, (t) => {
  mountPrivately();
  const folder = mkdtempSync(join(tmpdir(), "pontoon-netns-"));
  const [path, link] = [join(folder, "web"), join(folder, "link")];
  t.teardown(() => {
    for (const each of [link, path]) removeNamedNamespace(each);
    execFileSync("umount", ["-l", folder]);
    rmSync(folder, { recursive: true });
  });
  makeNamedNamespace(path, () => {
    const rtnetlink = new Rtnetlink();
    rtnetlink.request(newBridge({ name: "mark" }));
    rtnetlink.close();
  });
  t.ok(isNamespace(path));
  const names = () => insideNamespace(path, undefined, () => shown("link").map(({ ifname }) => ifname));
  t.same(names(), ["lo", "mark"]);
  t.throws(() => makeNamedNamespace(path), { code: "EEXIST" });
  t.same(names(), ["lo", "mark"], "what was there is as it was");
  linkNamespace(link, path);
  t.ok(isNamespace(link));
  removeNamedNamespace(path);
  t.notOk(isNamespace(link), "a link keeps nothing alive");
  removeNamedNamespace(path);
  t.notOk(existsSync(path));
  closeSync(openSync(path, "w"));
  t.notOk(isNamespace(path));
  removeNamedNamespace(path);
  t.notOk(existsSync(path), "an empty file is cleaned away as well");
  t.end();
});
