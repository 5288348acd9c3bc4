import t from "tap";
import { MemoryStore } from "../networks/testing/memory-store.js";
import { readRecord, keys, storedNetwork, type HostRecord, type SharedNetwork } from "./records.js";
import { encryptedAddress, nameOfMaker, ownWireguard, wireguardHosts } from "./wireguard.js";
import { isKey, newPrivateKey, publicKeyOf, tunnelAddress } from "./wireguard-key.js";

const base64 = (hex: string) => Buffer.from(hex, "hex").toString("base64");
const keyOf = (byte: number) => Buffer.alloc(32, byte).toString("base64");
const host = (id: string, more: Partial<HostRecord> = {}): HostRecord => ({
  id,
  name: id,
  advertise: `10.99.0.${id.slice(1)}`,
  joined: "",
  ...more,
});
const withKey = (id: string, byte: number, more: Partial<HostRecord> = {}) =>
  host(id, { wireguard: { publicKey: keyOf(byte), port: 51_840 }, ...more });

t.test("keys are those of Curve25519", (t) => {
  // RFC 7748, section 6.1: Bob's.
  const bob = base64("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
  t.equal(publicKeyOf(bob), base64("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"));
  const own = newPrivateKey();
  t.ok(isKey(own) && isKey(publicKeyOf(own)));
  t.not(newPrivateKey(), own);
  const raw = Buffer.from(own, "base64");
  t.same([raw[0]! & 7, raw[31]! & 0xc0], [0, 0x40], "as WireGuard tells it again");
  for (const none of [
    "",
    "AAAA",
    keyOf(1).slice(0, -1),
    `${keyOf(1)}=`,
    keyOf(1).replace("=", " ="),
    `${keyOf(1)}AAAA`,
  ])
    t.notOk(isKey(none), none);
  t.end();
});

t.test("a host's key is made once, and another in another state directory", (t) => {
  const store = new MemoryStore();
  const own = ownWireguard(store, { by: "kernel", port: 7 });
  t.same(ownWireguard(store, { by: { program: "/usr/bin/wireguard-go" }, port: 8 }), {
    ...own,
    by: { program: "/usr/bin/wireguard-go" },
    port: 8,
  });
  t.equal(own.publicKey, publicKeyOf(own.privateKey));
  t.not(ownWireguard(new MemoryStore(), { by: "kernel", port: 7 }).privateKey, own.privateKey);
  store.write([{ kind: "meta", key: "wireguard-key", value: "nonsense" }]);
  t.ok(isKey(ownWireguard(store, { by: "kernel", port: 7 }).privateKey));
  t.equal(nameOfMaker("kernel"), "wireguard (kernel)");
  t.equal(nameOfMaker({ program: "/opt/bin/boringtun" }), "boringtun");
  t.end();
});

t.test("the address in the tunnel is link-local, follows from the key, and is written as the kernel does", (t) => {
  t.equal(tunnelAddress(keyOf(0)), "fe80::6668:7aad:f862:bd77"); // sha256 of 32 zero bytes
  const addresses = new Set(Array.from({ length: 200 }, (_, byte) => tunnelAddress(keyOf(byte))));
  t.equal(addresses.size, 200);
  for (const address of addresses) t.equal(new URL(`http://[${address}]`).hostname, `[${address}]`);
  t.end();
});

t.test("peers are other hosts with a key of their own", (t) => {
  const own = withKey("h1", 1);
  const hosts = [
    own,
    withKey("h3", 3),
    withKey("h2", 2),
    withKey("h5", 3, { name: "says that it has the key of h3" }),
    withKey("h6", 1, { name: "says that it has ours" }),
    withKey("h7", 7, { advertise: "nowhere" }),
    host("h4", { name: "of an earlier version" }),
  ];
  t.same(wireguardHosts(hosts, own), [
    { publicKey: keyOf(2), port: 51_840, host: "10.99.0.2", address: tunnelAddress(keyOf(2)) },
    { publicKey: keyOf(3), port: 51_840, host: "10.99.0.3", address: tunnelAddress(keyOf(3)) },
  ]);
  t.equal(encryptedAddress(host("h4")), undefined);
  t.end();
});

t.test("what makes no sense in a host's record counts as left out", (t) => {
  const wireguard = { publicKey: keyOf(1), port: 51_840 };
  const read = (given: unknown) => {
    const known = readRecord(keys.host("h1"), { ...host("h1"), wireguard: given });
    return known?.kind === "host" ? known.value.wireguard : "no host";
  };
  t.same(read(wireguard), wireguard);
  t.same(read({ ...wireguard, more: "of a later version" }), wireguard);
  t.equal(read(undefined), undefined);
  for (const wrong of [
    "key",
    null,
    {},
    { publicKey: keyOf(1) },
    { ...wireguard, publicKey: "c2hvcnQ=" },
    { ...wireguard, publicKey: `${keyOf(1)}\nallowed_ip=::/0` },
    { ...wireguard, port: 0 },
    { ...wireguard, port: 65_536 },
    { ...wireguard, port: "51840" },
    { ...wireguard, port: 1.5 },
  ])
    t.equal(read(wrong), undefined, JSON.stringify(wrong));
  t.end();
});

t.test("a version that knows nothing of encryption leaves an encrypted network alone", (t) => {
  const network: SharedNetwork = {
    id: "n1",
    name: "demo",
    created: "",
    subnets: [],
    internal: false,
    masquerade: true,
    mtu: 1370,
    vni: 0x100000,
    labels: {},
  };
  const encrypted = { ...network, isEncrypted: true } as const;
  for (const each of [network, encrypted])
    t.same(readRecord(keys.network("n1"), JSON.parse(JSON.stringify(storedNetwork(each)))), {
      kind: "network",
      id: "n1",
      value: each,
    });
  t.same(storedNetwork(network), network, "plain ones are as they were");
  // It asks for a number there.
  t.type(storedNetwork(encrypted).vni, "object");
  t.end();
});
