import t from "tap";
import type { Link } from "../../linux/netlink/rtnetlink/links.js";
import type { WireguardState } from "../../linux/wireguard/device.js";
import { aliasOf, type WantedTunnel } from "../wanted.js";
import { network } from "./testing/wanted.js";
import { planTunnel, tunnelChanges, tunnelMtu, type SeenTunnel } from "./tunnel-plan.js";

const key = (byte: number) => Buffer.alloc(32, byte).toString("base64");
const peer = { publicKey: key(2), host: "192.0.2.2", port: 51840, address: "fe80::2" };
const other = { publicKey: key(3), host: "192.0.2.3", port: 51840, address: "fe80::3" };
const wanted: WantedTunnel = {
  by: "kernel",
  privateKey: key(1),
  port: 51840,
  address: "fe80::1",
  peers: [peer, other],
};
const state: WireguardState = {
  privateKey: key(1),
  port: 51840,
  peers: [peer, other].map(({ publicKey, host, port, address }) => ({
    publicKey,
    endpoint: { ip: host, port },
    allowed: [`${address}/128`],
  })),
};
const overlay = { link: "pvx-1", vni: 7, local: "fe80::1", port: 4789 };

t.test("the link is as long as an encrypted network needs it, and takes the longest packet of all", (t) => {
  const plain = network(1, { overlay, mtu: 1450 });
  const encrypted = (mtu: number) => network(2, { overlay: { ...overlay, isEncrypted: true }, mtu });
  t.equal(tunnelMtu([]), undefined);
  t.equal(tunnelMtu([plain, network(3)]), undefined);
  t.equal(tunnelMtu([plain, encrypted(1370), encrypted(1300)]), 1440);
  t.equal(tunnelMtu([encrypted(600)]), 1280, "with less there is no IPv6 on it");
  t.end();
});

t.test("steps lead from what is there to what is wanted", (t) => {
  const link = { index: 9, kind: "wireguard", isUp: true, mtu: 1440, alias: aliasOf.tunnel } as Link;
  const tun = { ...link, kind: "tun" };
  const seen: SeenTunnel = { link, addresses: [{ ip: "fe80::1", prefix: 64 }], state };
  const byProgram = { ...wanted, by: { program: "/usr/bin/wireguard-go" } };
  const cases: [what: string, wanted: WantedTunnel, seen: Partial<SeenTunnel>, steps: string[]][] = [
    ["all is there", wanted, {}, []],
    ["nothing is", wanted, { link: undefined }, ["make", "set"]],
    ["it is down", wanted, { link: { ...link, isUp: false } }, ["set"]],
    ["another MTU", wanted, { link: { ...link, mtu: 1420 } }, ["set"]],
    ["cut off before it had a name", wanted, { link: { ...link, alias: undefined } }, ["set"]],
    ["no address", wanted, { addresses: [] }, ["set"]],
    ["that of an earlier key", wanted, { addresses: [{ ip: "fe80::9", prefix: 64 }] }, ["set"]],
    ["two addresses", wanted, { addresses: [...seen.addresses, { ip: "fe80::9", prefix: 64 }] }, ["set"]],
    ["a program's", wanted, { link: tun }, ["delete", "make", "set"]],
    ["the kernel's", byProgram, {}, ["delete", "make", "start", "set"]],
    ["a program's, as wanted", byProgram, { link: tun }, []],
    ["its program has ended", byProgram, { link: tun, state: undefined }, ["start", "set"]],
    ["somebody else's", wanted, { link: { ...link, alias: "theirs" } }, ["make", "set"]],
    ["a bridge", byProgram, { link: { ...link, kind: "bridge" } }, ["make", "start", "set"]],
  ];
  for (const [what, given, changes, steps] of cases)
    t.same(planTunnel(given, 1440, { ...seen, ...changes }), steps, what);
  t.end();
});

t.test("at WireGuard only what is otherwise is set, so that others' sessions go on", (t) => {
  const changes = (given: WantedTunnel, there: WireguardState, before = wanted.peers) =>
    tunnelChanges(given, there, before);
  t.equal(changes(wanted, state), undefined);
  t.equal(changes(wanted, state, []), undefined, "as an earlier process has left it");
  t.same(changes({ ...wanted, port: 7 }, state), { port: 7, put: [], removed: [] });
  t.same(changes({ ...wanted, peers: [peer] }, state), { put: [], removed: [other.publicKey] });
  const [first, second] = state.peers;
  const putOf = (given: WantedTunnel, there: WireguardState) => changes(given, there)?.put;
  const moved = { ...other, host: "192.0.2.9" };
  t.same(putOf({ ...wanted, peers: [peer, moved] }, state), [
    { ...second, endpoint: { ip: "192.0.2.9", port: 51840 } },
  ]);
  const roamed = { ...second!, endpoint: { ip: "198.51.100.1", port: 9 } };
  t.equal(changes(wanted, { ...state, peers: [first!, roamed] }), undefined, "WireGuard has found it elsewhere");
  t.same(putOf(wanted, { ...state, peers: [first!, { ...second!, allowed: ["::/0"] }] }), [second]);
  t.same(putOf(wanted, { ...state, peers: [first!, { ...second!, endpoint: undefined }] }), [second]);
  const fresh = { privateKey: undefined, port: 0, peers: [] };
  t.same(changes(wanted, fresh), { privateKey: key(1), port: 51840, put: state.peers, removed: [] });
  t.end();
});
