import t from "tap";
import { driverNetworkOf } from "./driver-networks.js";

const container = "ab".repeat(32);
const endpoint = "cd".repeat(32);

t.test("a network is read as dockerd tells it", (t) => {
  t.same(
    driverNetworkOf({
      Id: "n",
      Name: "web",
      Driver: "pontoon",
      EnableIPv6: true,
      Internal: true,
      IPAM: {
        Driver: "pontoon",
        Options: {},
        Config: [
          {
            Subnet: "10.9.0.0/24",
            IPRange: "10.9.0.64/28",
            Gateway: "10.9.0.1",
            AuxiliaryAddresses: { r: "10.9.0.9" },
          },
          { Subnet: "fd09::/64", Gateway: "fd09::1/64" },
        ],
      },
      Options: { "pontoon.ports": "docker" },
      Containers: {
        [container]: {
          Name: "box",
          EndpointID: endpoint,
          MacAddress: "02:42:0a:09:00:02",
          IPv4Address: "10.9.0.2/24",
          IPv6Address: "fd09::2/64",
        },
        [`ep-${endpoint}`]: { Name: "starting", EndpointID: "", IPv4Address: "10.9.0.3/24", IPv6Address: "" },
      },
    }),
    {
      id: "n",
      name: "web",
      driver: "pontoon",
      ipamDriver: "pontoon",
      internal: true,
      ipv6: true,
      options: { "pontoon.ports": "docker" },
      pools: [
        { subnet: "10.9.0.0/24", ipRange: "10.9.0.64/28", gateway: "10.9.0.1", auxiliary: ["10.9.0.9"] },
        { subnet: "fd09::/64", ipRange: undefined, gateway: "fd09::1", auxiliary: [] },
      ],
      endpoints: [
        { id: endpoint, container, name: "box", mac: "02:42:0a:09:00:02", ipv4: "10.9.0.2", ipv6: "fd09::2" },
        { id: endpoint, container: undefined, name: "starting", mac: "", ipv4: "10.9.0.3", ipv6: undefined },
      ],
    },
  );
  t.end();
});

t.test("what is missing or odd costs itself, and no more", (t) => {
  const nothing = {
    id: "",
    name: "",
    driver: "",
    ipamDriver: "",
    internal: false,
    ipv6: false,
    options: {},
    pools: [],
    endpoints: [],
  };
  for (const odd of [undefined, null, 1, "x", [], {}, { IPAM: 1, Options: [1], Containers: null }])
    t.same(driverNetworkOf(odd), nothing, JSON.stringify(odd));
  t.same(driverNetworkOf({ Options: { a: "b", c: 1 }, Internal: "true", IPAM: { Config: {} } }), {
    ...nothing,
    options: { a: "b" },
  });
  t.same(driverNetworkOf({ IPAM: { Config: [null, "x"] } }).pools.length, 2);
  t.end();
});
