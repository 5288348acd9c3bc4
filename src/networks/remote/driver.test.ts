import t from "tap";
import { endpointRecord, networkRecord, sandboxRecord } from "../testing/records.js";
import { wantedEndpoints } from "../wanted.js";
import type { NetworkRecord } from "../records.js";
import { endpointOwed, networkOwed, RemoteDriver, type RemoteNetwork } from "./driver.js";
import type { Plugins } from "./plugins.js";
import type { z } from "zod";

type Answers = Readonly<Record<string, unknown>>;

/** A plugin whose answers are read as those of any are. */
function pluginWith(answers: Answers) {
  const asked: [method: string, body: Record<string, unknown>][] = [];
  const get = (name: string) => ({
    name,
    require: () => Promise.resolve(),
    call: (method: string, body: Record<string, unknown>, schema: z.ZodType) => {
      asked.push([method, body]);
      return Promise.resolve(schema.parse(answers[method.split(".")[1]!] ?? {}));
    },
  });
  return { driver: new RemoteDriver({ get } as unknown as Plugins), asked };
}

const remote = (number: number, more: Partial<NetworkRecord> & { ipv6?: boolean } = {}): RemoteNetwork => ({
  ...networkRecord(number, more),
  mtu: 0,
  remote: { driver: "net", options: { vlan: "7" } },
});
const web = sandboxRecord("web", {
  exposed: [
    [80, "tcp"],
    [53, "udp"],
  ],
});
const draft = { id: "e1", addresses: [{ ip: "10.1.0.2", prefix: 24 }], mac: undefined };
const link = { SrcName: "tap7", DstPrefix: "eth" };

t.test("a network is told of as Docker does", async (t) => {
  const { driver, asked } = pluginWith({ GetCapabilities: { Scope: "global" } });
  const network = remote(1, { ipv6: true, internal: true });
  await driver.createNetwork(network);
  t.same(
    asked.map(([method]) => method),
    ["NetworkDriver.GetCapabilities", "NetworkDriver.CreateNetwork"],
  );
  t.same(asked[1]![1], {
    NetworkID: network.id,
    Options: {
      "com.docker.network.enable_ipv4": true,
      "com.docker.network.enable_ipv6": true,
      "com.docker.network.generic": { vlan: "7" },
      "com.docker.network.internal": true,
    },
    IPv4Data: [{ AddressSpace: "LocalDefault", Pool: "10.1.0.0/24", Gateway: "10.1.0.1/24" }],
    IPv6Data: [{ AddressSpace: "LocalDefault", Pool: "fd00:1::/64", Gateway: "fd00:1::1/64" }],
  });
  t.same(networkOwed(network), [
    { plugin: "net", method: "NetworkDriver.DeleteNetwork", body: { NetworkID: network.id } },
  ]);
  t.same(
    endpointOwed(network, draft).map(({ method }) => method),
    ["NetworkDriver.Leave", "NetworkDriver.DeleteEndpoint"],
  );
});

t.test("an endpoint is told of as Docker does, and made as the driver answers", async (t) => {
  const { driver, asked } = pluginWith({
    CreateEndpoint: { Interface: { AddressIPv6: "fd00::5/64", MacAddress: "02:42:AA:00:00:01" } },
    Join: {
      InterfaceName: link,
      Gateway: "10.1.0.1",
      StaticRoutes: [{ Destination: "::/0", RouteType: 0, NextHop: "fd00::1" }],
    },
    EndpointOperInfo: { Value: { port: 7, "\u001b[31m": "x\n", deep: { a: 1 } } },
  });
  const made = await driver.connect(remote(1), web, { ...draft, mac: "02:42:aa:00:00:01", isMacNamed: true });
  t.same(asked[0], [
    "NetworkDriver.CreateEndpoint",
    {
      NetworkID: "1".repeat(64),
      EndpointID: "e1",
      Interface: { Address: "10.1.0.2/24", AddressIPv6: "", MacAddress: "02:42:aa:00:00:01" },
      Options: {
        "com.docker.network.endpoint.exposedports": [
          { Proto: 6, Port: 80 },
          { Proto: 17, Port: 53 },
        ],
        "com.docker.network.portmap": [],
        "com.docker.network.endpoint.macaddress": "AkKqAAAB",
      },
    },
  ]);
  t.equal(asked[1]![0], "NetworkDriver.Join");
  t.match(asked[1]![1], { SandboxKey: "/run/netns/web" });
  t.same(made, {
    source: "tap7",
    prefix: "eth",
    mac: "02:42:aa:00:00:01",
    remote: {
      addresses: [...draft.addresses, { ip: "fd00::5", prefix: 64 }],
      gateways: ["10.1.0.1", "fd00::1"],
      routes: [],
      info: { port: "7", "\\x1b[31m": "x\\n" },
    },
  });
  const internal = await driver.connect(remote(1, { internal: true }), web, { ...draft, mac: "02:42:aa:00:00:01" });
  t.same(internal.remote.gateways, [], "nothing leads out of an internal network");
});

t.test("what a driver was given it may not change", async (t) => {
  for (const Interface of [
    { Address: "10.1.0.3/24" },
    { AddressIPv6: "10.1.0.2/24" },
    { MacAddress: "02:42:aa:00:00:09" },
  ]) {
    const { driver } = pluginWith({ CreateEndpoint: { Interface }, Join: { InterfaceName: link } });
    const given = { ...draft, mac: "02:42:aa:00:00:01" };
    await t.rejects(
      driver.connect(remote(1), web, given),
      { code: "PLUGIN_ANSWER_INVALID" },
      JSON.stringify(Interface),
    );
  }
});

t.test("answers that cannot be are not read", async (t) => {
  for (const [method, answer] of [
    ["CreateEndpoint", { Interface: { Address: "10.1.0.2" } }],
    ["CreateEndpoint", { Interface: { Address: "10.1.0.2/33" } }],
    ["CreateEndpoint", { Interface: { Address: "::ffff:10.1.0.2/120" } }],
    ["CreateEndpoint", { Interface: { MacAddress: "01:00:5e:00:00:01" } }],
    ["Join", { InterfaceName: { SrcName: "../x", DstPrefix: "eth" } }],
    ["Join", { InterfaceName: { SrcName: "x%d", DstPrefix: "eth" } }],
    ["Join", { InterfaceName: { SrcName: "x".repeat(16), DstPrefix: "eth" } }],
    ["Join", { InterfaceName: { SrcName: "x", DstPrefix: "averylongprefix" } }],
    ["Join", { InterfaceName: link, StaticRoutes: [{ Destination: "10.0.0.0/99" }] }],
    ["Join", { InterfaceName: link, StaticRoutes: [{ Destination: "10.0.0.0/8", RouteType: 9 }] }],
    ["Join", { InterfaceName: link, StaticRoutes: Array(257).fill({ Destination: "10.0.0.0/8" }) }],
    ["Join", { InterfaceName: link, Gateway: "10.1.0.1/24" }],
    ["Join", {}],
  ] as const) {
    const { driver } = pluginWith({ [method]: answer });
    await t.rejects(driver.connect(remote(1), web, draft), JSON.stringify(answer));
  }
});

t.test("a way to somewhere is there once in a sandbox", (t) => {
  const networks = [remote(1), remote(2)];
  const to = (ip: string, prefix: number) => ({ to: { ip, prefix } });
  const endpoints = networks.map((network, index) =>
    endpointRecord(web, network, {
      remote: {
        addresses: [{ ip: `10.${index + 1}.0.2`, prefix: 24 }],
        gateways: index === 0 ? [] : ["10.2.0.1"],
        routes: [to("224.0.0.0", 4), to("0.0.0.0", 0), ...(index === 1 ? [to("10.50.0.0", 16)] : [])],
        info: {},
      },
    }),
  );
  const wanted = wantedEndpoints(endpoints, (id) => networks.find((network) => network.id === id));
  t.same(
    wanted.map(({ remote: own }) => own),
    [{ routes: [to("224.0.0.0", 4)] }, { routes: [to("10.50.0.0", 16)] }],
  );
  t.same(
    wanted.map(({ mtu, isDefault }) => [mtu, isDefault.ipv4]),
    [
      [0, false],
      [0, true],
    ],
  );
  t.end();
});
