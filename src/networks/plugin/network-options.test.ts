import t from "tap";
import { refusalOf } from "../testing/records.js";
import { networkRequestOf } from "./network-options.js";
import { createNetworkCall } from "./protocol.js";

const bridge = "com.docker.network.bridge";
const id = "ab".repeat(32);

const requestFor = (options: unknown, more: object = {}, call: object = {}) =>
  networkRequestOf(
    createNetworkCall.parse({
      NetworkID: id,
      Options: { "com.docker.network.generic": options, ...more },
      IPv4Data: [
        { AddressSpace: "LocalDefault", Pool: "10.9.0.0/24", Gateway: "10.9.0.1/24", AuxAddresses: { a: "10.9.0.9" } },
      ],
      IPv6Data: [],
      ...call,
    }),
  );

t.test("without options a network is as Docker's bridges are", (t) => {
  const usual = {
    request: {
      name: "ab".repeat(6),
      driver: "bridge",
      subnets: ["10.9.0.0/24"],
      gateways: ["10.9.0.1"],
      ipRanges: [],
      ipv6: false,
      internal: false,
      icc: true,
      masquerade: true,
      snatAddresses: [],
      firewall: true,
      labels: {},
    },
    only: { publishing: "pontoon", publishInternal: false, linkPrefix: "eth", routers: {} },
  };
  for (const none of [undefined, null, {}]) t.same(requestFor(none), usual);
  t.same(requestFor({}, { "com.docker.network.internal": true }).request.internal, true);
  t.end();
});

t.test("pools are taken as dockerd gives them, of both families", (t) => {
  const { request } = requestFor(
    {},
    {},
    {
      IPv4Data: [{ Pool: "10.9.0.0/24" }, { Pool: "10.9.1.0/24", Gateway: "10.9.1.254/24" }],
      IPv6Data: [{ Pool: "fd09::/64", Gateway: "fd09::1/64" }],
    },
  );
  t.same(
    [request.subnets, request.gateways, request.ipv6],
    [["10.9.0.0/24", "10.9.1.0/24", "fd09::/64"], ["10.9.1.254", "fd09::1"], true],
  );
  t.same(
    refusalOf(() => requestFor({}, {}, { IPv4Data: [{ Pool: "0.0.0.0/0", Gateway: "" }] })),
    [
      "SUBNET_INVALID",
      "the network has no subnet, since its IPAM driver gives none; use --ipam-driver default or pontoon",
    ],
  );
  t.end();
});

t.test("routers in place of the network's own addresses", (t) => {
  const pools = (ipv4: string, ipv6: string) => ({
    IPv4Data: [{ Pool: "10.9.0.0/24", AuxAddresses: { DefaultGatewayIPv4: ipv4 } }],
    IPv6Data: [{ Pool: "fd09::/64", AuxAddresses: { DefaultGatewayIPv6: ipv6 } }],
  });
  t.same(requestFor({}, {}, pools("10.9.0.7", "fd09::7")).only.routers, { ipv4: "10.9.0.7", ipv6: "fd09::7" });
  for (const [ipv4, ipv6] of [
    ["10.8.0.7", "fd09::7"],
    ["10.9.0.7", "foo"],
  ] as const)
    t.equal(refusalOf(() => requestFor({}, {}, pools(ipv4, ipv6)))[0], "GATEWAY_OUTSIDE");
  t.end();
});

t.test("every option has its meaning", (t) => {
  const { request, only } = requestFor(
    {
      [`${bridge}.name`]: "shop0",
      [`${bridge}.enable_icc`]: "F",
      [`${bridge}.enable_ip_masquerade`]: "0",
      [`${bridge}.host_binding_ipv4`]: "127.0.0.1",
      "com.docker.network.container_iface_prefix": "lan",
      "com.docker.network.driver.mtu": "1400",
      "com.docker.network.host_ipv4": "10.77.0.9",
      "com.docker.network.host_ipv6": "fd77::9",
      "pontoon.driver": "bridge",
      "pontoon.ports": "docker",
      "pontoon.publish-internal": "TRUE",
    },
    { "com.docker.network.internal": true },
  );
  t.match(request, {
    bridge: "shop0",
    icc: false,
    masquerade: false,
    hostBinding: "127.0.0.1",
    mtu: 1400,
    driver: "bridge",
  });
  t.same(request.snatAddresses, ["10.77.0.9", "fd77::9"]);
  t.same(only, { publishing: "docker", publishInternal: true, linkPrefix: "lan", routers: {} });
  const empty = requestFor({
    [`${bridge}.name`]: "",
    [`${bridge}.host_binding_ipv4`]: "0.0.0.0",
    "com.docker.network.container_iface_prefix": "",
  });
  t.same([empty.request.bridge, empty.request.hostBinding, empty.only.linkPrefix], [undefined, undefined, "eth"]);
  t.end();
});

t.test("what cannot be is refused", (t) => {
  const cases: [options: unknown, code: string, says: RegExp][] = [
    [[1], "OPTION_INVALID", /is not a list of options/],
    ["x", "OPTION_INVALID", /is not a list of options/],
    [
      { typo: "1" },
      "OPTION_UNKNOWN",
      /has no option "?typo"?; it knows com\.docker\.network\.bridge\.name, .*pontoon\.publish-internal$/,
    ],
    [{ __proto__x: "1" }, "OPTION_UNKNOWN", /has no option/],
    [{ "com.docker.network.driver.mtu": 1400 }, "OPTION_INVALID", /mtu.* is not a text/],
    [{ "com.docker.network.driver.mtu": "many" }, "OPTION_INVALID", /give a number of bytes/],
    [{ [`${bridge}.enable_icc`]: "" }, "OPTION_INVALID", /say true or false/],
    [{ [`${bridge}.enable_icc`]: "yes" }, "OPTION_INVALID", /say true or false/],
    [{ [`${bridge}.host_binding_ipv4`]: "foo" }, "OPTION_INVALID", /host_binding_ipv4=.*foo.* is not an IP address/],
    [{ "com.docker.network.host_ipv4": "fd77::9" }, "OPTION_INVALID", /is not an IPv4 address/],
    [{ "com.docker.network.host_ipv6": "10.77.0.9" }, "OPTION_INVALID", /is not an IPv6 address/],
    [{ "com.docker.network.host_ipv6": "fe80::1%eth0" }, "OPTION_INVALID", /is not an IPv6 address/],
    [{ "com.docker.network.container_iface_prefix": "x".repeat(13) }, "OPTION_INVALID", /1 to 12 letters/],
    [{ "com.docker.network.container_iface_prefix": "%d" }, "OPTION_INVALID", /1 to 12 letters/],
    [{ "pontoon.ports": "maybe" }, "OPTION_INVALID", /say pontoon or docker/],
    [
      { "pontoon.driver": "macvlan", parent: "eth0", "pontoon.ipam": "dhcp" },
      "OPTION_INVALID",
      /pontoon\.ipam=dhcp cannot be: Docker wants an address before there is a link that could ask for one/,
    ],
    [{ "pontoon.driver": "overlay", parent: "eth0" }, "OPTION_UNFIT", /parent is for networks of one host/],
    [
      { "pontoon.driver": "overlay", "com.docker.network.bridge.enable_icc": "false" },
      "OPTION_UNFIT",
      /enable_icc is for networks of one host/,
    ],
    [{ "pontoon.driver": "overlay", encrypted: "maybe" }, "OPTION_UNFIT", /leave out =maybe/],
    [{ "pontoon.network": "demo" }, "OPTION_UNFIT", /add -o pontoon.driver=overlay/],
    [{ encrypted: "" }, "OPTION_UNFIT", /add -o pontoon.driver=overlay/],
    [{ "pontoon.publish-internal": "true" }, "OPTION_INVALID", /the network is not internal/],
  ];
  for (const [options, code, says] of cases) {
    const [found, message] = refusalOf(() => requestFor(options));
    t.equal(found, code, JSON.stringify(options));
    t.match(message, says);
  }
  t.end();
});

t.test("a network of several hosts", (t) => {
  t.equal(requestFor({}).overlay, undefined);
  const options = { "pontoon.driver": "overlay", encrypted: "", "com.docker.network.driver.mtu": "1300" };
  t.same(requestFor(options).overlay, {
    existing: undefined,
    options: { encrypted: "", "com.docker.network.driver.mtu": "1300" },
  });
  t.equal(requestFor({ "pontoon.driver": "overlay", "pontoon.network": "demo" }).overlay?.existing, "demo");
  t.end();
});
