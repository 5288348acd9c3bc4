import t from "tap";
import { createNetworkRequest } from "./contract.js";
import { defineNdpProxy } from "./define-ndp.js";
import { refusalOf } from "./testing/records.js";

const facts = { name: "eth0", addresses: ["192.0.2.7", "2001:db8:1::7"], isOn: false };
const subnets = [
  { subnet: "10.1.0.0/24", gateway: "10.1.0.1" },
  { subnet: "2001:db8:1:0:1::/80", gateway: "2001:db8:1:0:1::1" },
];
const request = (changes: object = {}) => createNetworkRequest.parse({ name: "web", ndpProxy: "eth0", ...changes });

t.test("the first network on a link knows whether it answered before, and tells the others", (t) => {
  const ndpProxy = { link: "eth0", wasOn: false };
  t.same(defineNdpProxy(request(), subnets, facts, []), { ndpProxy });
  t.same(defineNdpProxy(request({ ndpProxy: "" }), subnets, { ...facts, isOn: true }, []), {
    ndpProxy: { link: "eth0", wasOn: true },
  });
  t.same(defineNdpProxy(request(), subnets, { ...facts, isOn: true }, [{}, { ndpProxy }]), { ndpProxy });
  t.same(defineNdpProxy(createNetworkRequest.parse({ name: "web" }), subnets, facts, [{ ndpProxy }]), {});
  t.end();
});

t.test("what cannot be answered for is refused", (t) => {
  const cases = [
    [{ internal: true }, subnets, facts, "OPTION_UNFIT", /nothing comes in/],
    [{}, subnets.slice(0, 1), facts, "SUBNET_NEEDED", /name a part of the prefix of eth0/],
    [
      {},
      [{ subnet: "2001:db8:1::/64", gateway: "2001:db8:1::1" }],
      facts,
      "SUBNET_OVERLAPS",
      /2001:db8:1::\/64 has 2001:db8:1::7 in it, which is the host's own on eth0/,
    ],
    [{ ndpProxy: "eth9" }, subnets, undefined, "NO_LINK", /the host has no link eth9/],
    [{ ndpProxy: "" }, subnets, undefined, "NO_LINK", /no default route of IPv6/],
  ] as const;
  for (const [changes, of, link, code, words] of cases) {
    const [found, message] = refusalOf(() => defineNdpProxy(request(changes), of, link, []));
    t.equal(found, code);
    t.match(message, words);
  }
  t.end();
});
