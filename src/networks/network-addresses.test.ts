import t from "tap";
import { NetworkAddresses } from "./network-addresses.js";
import type { NetworkRecord } from "./records.js";
import { endpointRecord, networkRecord, refusalOf, sandboxRecord } from "./testing/records.js";

const both = networkRecord(1, { ipv6: true });

function addressesOf(network: NetworkRecord, endpoints: Parameters<NetworkAddresses["add"]>[1] = []): NetworkAddresses {
  const addresses = new NetworkAddresses();
  addresses.add(network, endpoints, ({ sandbox }) => `sandbox ${sandbox.slice(0, 2)}`);
  return addresses;
}

t.test("an endpoint gets one address of each family, in order", (t) => {
  const addresses = addressesOf(both);
  t.same(addresses.give(both, "a", []), { ipv4: "10.1.0.2", ipv6: "fd00:1::2" });
  t.same(addresses.give(both, "b", ["10.1.0.77"]), { ipv4: "10.1.0.77", ipv6: "fd00:1::3" });
  t.same(addresses.give(both, "c", ["FD00:1::0077", "10.1.0.3"]), { ipv4: "10.1.0.3", ipv6: "fd00:1::77" });
  t.same(addresses.give(both, "d", []), { ipv4: "10.1.0.4", ipv6: "fd00:1::4" });
  t.same(addressesOf(networkRecord(2)).give(networkRecord(2), "a", []), { ipv4: "10.2.0.2" });
  t.end();
});

t.test("addresses of endpoints that are there are theirs", (t) => {
  const there = endpointRecord(sandboxRecord("a"), both);
  const addresses = addressesOf(both, [there]);
  t.same(refusalOf(() => addresses.give(both, "b", ["10.1.0.2"]))[0], "ADDRESS_TAKEN");
  t.match(refusalOf(() => addresses.give(both, "b", ["10.1.0.2"]))[1], /taken by sandbox 61;/);
  t.same(addresses.give(both, "b", []), { ipv4: "10.1.0.3", ipv6: "fd00:1::3" });
  addresses.release(both.id, there);
  t.same(addresses.give(both, "b", ["10.1.0.2"]), { ipv4: "10.1.0.2", ipv6: "fd00:1::4" });
  t.end();
});

t.test("what cannot be given is refused, and nothing is given then", (t) => {
  const cases: [wanted: string[], code: string, message: RegExp][] = [
    [
      ["10.9.0.2"],
      "ADDRESS_OUTSIDE",
      /^10\.9\.0\.2 is in no subnet of network network1 \(10\.1\.0\.0\/24, fd00:1::\/64\)/,
    ],
    [["nonsense"], "ADDRESS_OUTSIDE", /^nonsense is in no subnet/],
    [["10.1.0.5", "10.1.0.6"], "ADDRESS_OUTSIDE", /one address of a family, not 10\.1\.0\.5 and 10\.1\.0\.6$/],
    [["10.1.0.5", "fd00:1::5", "fd00:1::6"], "ADDRESS_OUTSIDE", /not fd00:1::5 and fd00:1::6$/],
    [["10.1.0.1"], "ADDRESS_TAKEN", /the gateway/],
    [["10.1.0.5", "fd00:1::1"], "ADDRESS_TAKEN", /the gateway/],
    [["10.1.0.255"], "ADDRESS_UNUSABLE", /broadcast/],
  ];
  for (const [wanted, code, message] of cases) {
    const addresses = addressesOf(both);
    const [foundCode, foundMessage] = refusalOf(() => addresses.give(both, "a", wanted));
    t.equal(foundCode, code, wanted.join(" "));
    t.match(foundMessage, message);
    t.same(addresses.give(both, "b", ["10.1.0.5", "fd00:1::5"]), { ipv4: "10.1.0.5", ipv6: "fd00:1::5" });
  }
  t.end();
});

t.test("of several subnets of a family the next is used when one is full", (t) => {
  const small = networkRecord(1, {
    subnets: [
      { subnet: "10.1.0.0/30", gateway: "10.1.0.1" },
      { subnet: "10.2.0.0/30", gateway: "10.2.0.1" },
    ],
  });
  const addresses = addressesOf(small);
  t.same(addresses.give(small, "a", []), { ipv4: "10.1.0.2" });
  t.same(addresses.give(small, "b", []), { ipv4: "10.2.0.2" });
  t.equal(refusalOf(() => addresses.give(small, "c", []))[0], "ADDRESSES_EXHAUSTED");
  addresses.release(small.id, { ipv4: "10.1.0.2" });
  t.same(addresses.give(small, "c", []), { ipv4: "10.1.0.2" });
  t.end();
});

t.test("what is released on a network that is gone is nobody's", (t) => {
  const addresses = addressesOf(both);
  addresses.remove(both.id);
  t.doesNotThrow(() => addresses.release(both.id, { ipv4: "10.1.0.2" }));
  t.end();
});
