import t from "tap";
import { addressPool } from "../../../network/addresses/pools.js";
import { Subnet } from "../../../network/addresses/subnet.js";
import { MemoryStore } from "../testing/memory-store.js";
import { refusalOf } from "../testing/records.js";
import { AddressPools, type PoolGround } from "./address-pools.js";
import { PluginRegistry } from "./plugin-registry.js";
import { requestAddressCall, requestPoolCall } from "./protocol.js";

const takenOf = (subnet: string, by: string) => ({ subnet: Subnet.parse(subnet), by });
const networks = [takenOf("10.7.0.0/16", "network web")];
const ground: PoolGround = {
  pools: { ipv4: [addressPool("10.0.0.0/8", 16)], ipv6: [addressPool("fd00::/48", 64)] },
  taken: [takenOf("10.0.0.0/15", "the host's route 10.0.0.0/15 dev eth0"), ...networks],
  takenByNetworks: networks,
};

/** Goes on when a daemon is started again. */
let clock = 0;

class Ipam {
  readonly pools: AddressPools;
  readonly records: PluginRegistry;

  constructor(readonly store = new MemoryStore()) {
    this.records = new PluginRegistry(store);
    this.records.load();
    this.pools = new AddressPools(
      this.records,
      () => ground,
      {
        holderOf: (address) => (address === "10.9.0.2" ? "container web" : undefined),
        isNamed: (address) => address === "10.9.0.77",
      },
      () => ++clock,
    );
    this.pools.load();
  }

  /** As a daemon has it that is started now. */
  get next(): Ipam {
    return new Ipam(this.store);
  }

  pool(Pool?: string, more: object = {}): string {
    return this.pools.requestPool(requestPoolCall.parse({ Pool, ...more })).PoolID;
  }

  address(PoolID: string, Address?: string, Options?: object): string {
    return this.pools.requestAddress(requestAddressCall.parse({ PoolID, Address, Options })).Address;
  }

  gateway(PoolID: string, Address?: string): string {
    return this.address(PoolID, Address, { RequestAddressType: "com.docker.network.gateway" });
  }
}

t.test("subnets that nobody names overlap nobody's", (t) => {
  const ipam = new Ipam();
  t.same([ipam.pool(), ipam.pool(), ipam.next.pool()], ["10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16"]);
  t.equal(ipam.pool("", { V6: true }), "fd00::/64");
  t.equal(ipam.pool("", { V6: true, Options: null }), "fd00:0:0:1::/64");
  ipam.pools.releasePool("10.2.0.0/16");
  t.equal(ipam.pool(), "10.2.0.0/16");
  t.end();
});

t.test("subnets that somebody names", (t) => {
  const ipam = new Ipam();
  t.equal(ipam.pool("10.1.0.0/16"), "10.1.0.0/16", "it may overlap a route, as Docker has it");
  t.equal(ipam.pool("10.9.0.0/16", { SubPool: "10.9.4.0/24" }), "10.9.0.0/16,10.9.4.0/24");
  t.equal(ipam.pool("10.9.0.0/16", { SubPool: "10.9.4.0/24" }), "10.9.0.0/16,10.9.4.0/24", "nobody had the answer");
  t.equal(ipam.gateway("10.9.0.0/16,10.9.4.0/24", "10.9.0.1"), "10.9.0.1/16");
  const cases: [subnet: string, more: object, code: string][] = [
    ["10.9.0.0/16", { SubPool: "10.9.4.0/24" }, "SUBNET_OVERLAPS"],
    ["10.9.0.0/16", {}, "SUBNET_OVERLAPS"],
    ["10.9.1.0/24", {}, "SUBNET_OVERLAPS"],
    ["10.0.0.0/8", {}, "SUBNET_OVERLAPS"],
    ["10.7.1.0/24", {}, "SUBNET_OVERLAPS"],
    ["10.10.0.0/24", { SubPool: "10.11.0.0/25" }, "RANGE_OUTSIDE"],
    ["10.10.0.1/33", {}, "SUBNET_INVALID"],
    ["foo", {}, "SUBNET_INVALID"],
    ["10.10.0.0/24", { Options: { a: "b" } }, "OPTION_UNKNOWN"],
  ];
  for (const [subnet, more, code] of cases) t.equal(refusalOf(() => ipam.pool(subnet, more))[0], code, subnet);
  t.equal(ipam.records.pools.size, 2, "nothing is kept of what was refused");
  ipam.pools.releasePool("10.9.0.0/16,10.9.4.0/24");
  t.equal(refusalOf(() => ipam.pool("10.9.0.0/16"))[0], "SUBNET_OVERLAPS", "somebody has its gateway still");
  ipam.pools.releaseAddress("10.9.0.0/16,10.9.4.0/24", "10.9.0.1");
  ipam.pools.releasePool("10.9.0.0/16,10.9.4.0/24");
  ipam.pools.releasePool("10.9.0.0/16,10.9.4.0/24");
  t.equal(ipam.pool("10.9.0.0/16"), "10.9.0.0/16");
  t.end();
});

t.test("addresses are given in order, and used again last", (t) => {
  const ipam = new Ipam();
  const pool = ipam.pool("10.9.0.0/29");
  t.equal(ipam.gateway(pool), "10.9.0.1/29");
  t.equal(ipam.gateway(pool), "10.9.0.1/29", "there is one");
  t.equal(ipam.gateway(pool, "10.9.0.1"), "10.9.0.1/29");
  t.same([ipam.address(pool), ipam.address(pool)], ["10.9.0.2/29", "10.9.0.3/29"]);
  ipam.pools.releaseAddress(pool, "10.9.0.2");
  ipam.pools.releaseAddress(pool, "10.9.0.2/29");
  const next = ipam.next;
  t.same([next.address(pool), next.address(pool), next.address(pool)], ["10.9.0.4/29", "10.9.0.5/29", "10.9.0.6/29"]);
  t.equal(next.address(pool), "10.9.0.2/29");
  t.match(
    refusalOf(() => next.address(pool)),
    { 0: "ADDRESSES_EXHAUSTED" },
  );
  next.pools.releaseAddress(pool, "10.9.0.5");
  t.equal(next.address(pool), "10.9.0.5/29");
  t.end();
});

t.test("who has an address that is asked for by its number", (t) => {
  const ipam = new Ipam();
  const pool = ipam.pool("10.9.0.0/24", { SubPool: "10.9.0.128/25" });
  ipam.gateway(pool, "10.9.0.1");
  t.equal(ipam.address(pool, "10.9.0.2"), "10.9.0.2/24", "outside of the range, too");
  t.equal(ipam.address(pool), "10.9.0.128/24");
  t.equal(ipam.address(pool, "10.9.0.9"), "10.9.0.9/24");
  const cases: [address: string, code: string, says: RegExp][] = [
    ["10.9.0.1", "ADDRESS_TAKEN", /is taken by the network's gateway; choose another$/],
    ["10.9.0.2", "ADDRESS_TAKEN", /is taken by container web; choose another$/],
    ["10.9.0.9", "ADDRESS_TAKEN", /is taken by another container or an --aux-address of the network;/],
    ["10.9.0.128", "ADDRESS_TAKEN", /is taken by another container;/],
    ["10.9.0.0", "ADDRESS_UNUSABLE", /is the address of the network/],
    ["10.9.0.255", "ADDRESS_UNUSABLE", /is the broadcast address/],
    ["10.8.0.1", "ADDRESS_UNUSABLE", /is not an address of 10\.9\.0\.0\/24/],
    ["foo", "ADDRESS_UNUSABLE", /is not an address of 10\.9\.0\.0\/24/],
  ];
  for (const [address, code, says] of cases) {
    const [found, message] = refusalOf(() => ipam.address(pool, address));
    t.equal(found, code, address);
    t.match(message, says);
  }
  t.end();
});

t.test("an address that was asked for by its number is kept for as long as there are others", (t) => {
  const ipam = new Ipam();
  const pool = ipam.pool("10.9.0.0/29");
  ipam.gateway(pool);
  for (const address of ["10.9.0.2", "10.9.0.4"]) ipam.address(pool, address);
  for (const address of ["10.9.0.4", "10.9.0.2"]) ipam.pools.releaseAddress(pool, address);
  const next = ipam.next;
  t.same([next.address(pool), next.address(pool), next.address(pool)], ["10.9.0.3/29", "10.9.0.5/29", "10.9.0.6/29"]);
  t.equal(next.address(pool, "10.9.0.2"), "10.9.0.2/29");
  next.pools.releaseAddress(pool, "10.9.0.2");
  t.equal(next.address(pool), "10.9.0.4/29", "the one that was kept longest");
  t.equal(next.address(pool), "10.9.0.2/29");
  t.equal(refusalOf(() => next.address(pool))[0], "ADDRESSES_EXHAUSTED");
  const record = next.records.addresses.get(`${pool} 10.9.0.4`)!;
  next.pools.forget(record);
  next.pools.keep(pool, "10.9.0.4");
  next.pools.keep(pool, "10.9.0.4");
  t.equal(next.address(pool, "10.9.0.4"), "10.9.0.4/29");
  t.end();
});

t.test("a pool that is not known is what its id says", (t) => {
  const ipam = new Ipam();
  t.equal(ipam.address("10.9.0.0/24,10.9.0.128/25"), "10.9.0.128/24");
  for (const [id, code] of [
    ["foo", "SUBNET_INVALID"],
    ["10.8.0.0/24,10.7.0.0/25", "RANGE_OUTSIDE"],
    ["10.8.0.0/24,10.8.0.0/25,10.8.0.0/26", "CALL_INVALID"],
    ["", "SUBNET_INVALID"],
  ] as const)
    t.equal(refusalOf(() => ipam.pools.requestAddress({ PoolID: id, Address: "", Options: {} }))[0], code, id);
  ipam.pools.releaseAddress("foo", "10.9.0.1");
  ipam.pools.releasePool("foo");
  t.equal(ipam.next.records.pools.size, 1);
  t.end();
});

t.test("an address that could not be stored is not given", (t) => {
  const ipam = new Ipam();
  const pool = ipam.pool("10.9.0.0/24");
  ipam.store.failure = new Error("full");
  t.throws(() => ipam.address(pool, "10.9.0.9"), /full/);
  t.equal(ipam.address(pool, "10.9.0.9"), "10.9.0.9/24");
  t.end();
});

t.test("addresses that containers name, and that nobody can have, are kept for nobody", (t) => {
  const ipam = new Ipam();
  const pool = ipam.pool("10.9.0.0/24");
  ipam.pools.keepNamed(["10.9.0.0/24"], ["10.9.0.0", "10.9.0.255", "10.9.0.1"]);
  ipam.pools.keep(pool, "10.9.0.255");
  t.same(
    [...ipam.records.addresses.values()].map(({ address }) => address),
    ["10.9.0.1"],
  );
  t.equal(ipam.address(pool), "10.9.0.2/24");
  t.equal(ipam.address(pool, "10.9.0.1"), "10.9.0.1/24");
  t.end();
});

t.test("a subnet may be named by an address in it, as with Docker's own driver", (t) => {
  const ipam = new Ipam();
  t.equal(ipam.pool("10.9.1.7/24"), "10.9.1.0/24");
  t.equal(ipam.pool("fd00:9::7/64"), "fd00:9::/64");
  t.equal(ipam.pool("10.8.2.7/16", { SubPool: "10.8.3.7/24" }), "10.8.0.0/16,10.8.3.0/24");
  for (const text of ["10.9.1.0/33", "10.9.1.0", "10.9.1.0/24/24", "x/24", "fd00::/129"])
    t.equal(refusalOf(() => ipam.pool(text))[0], "SUBNET_INVALID", text);
  t.end();
});
