import t from "tap";
import { networkAnswer, sandboxAnswer } from "./answers.js";
import { endpointRecord, networkRecord, registryOf, sandboxRecord } from "./testing/records.js";

const network = networkRecord(1, {
  ipv6: true,
  internal: true,
  hostBinding: "192.0.2.1",
  snatAddresses: ["192.0.2.9"],
  labels: { a: "b" },
});
const name = `ptt-answers-${process.pid}`; // no namespace of this host has it
const sandbox = sandboxRecord(name, { exposed: [[53, "udp"]], labels: { c: "d" } });
const endpoint = endpointRecord(sandbox, network, { aliases: ["www"] });
const registry = registryOf({ networks: [network], sandboxes: [sandbox], endpoints: [endpoint] });

t.test("a network is told as Docker tells its own", (t) => {
  t.same(networkAnswer(registry, network), {
    Name: "network1",
    Id: network.id,
    Created: "2026-01-02T03:04:05.000Z",
    Scope: "local",
    Driver: "bridge",
    EnableIPv6: true,
    IPAM: {
      Driver: "default",
      Config: [
        { Subnet: "10.1.0.0/24", Gateway: "10.1.0.1" },
        { Subnet: "fd00:1::/64", Gateway: "fd00:1::1" },
      ],
    },
    Internal: true,
    Containers: {
      [sandbox.id]: {
        Name: name,
        EndpointID: endpoint.id,
        MacAddress: "02:42:0a:01:00:02",
        IPv4Address: "10.1.0.2/24",
        IPv6Address: "fd00:1::2/64",
      },
    },
    Options: {
      "com.docker.network.bridge.name": "br1",
      "com.docker.network.bridge.enable_icc": "true",
      "com.docker.network.bridge.enable_ip_masquerade": "true",
      "com.docker.network.driver.mtu": "1500",
      "com.docker.network.bridge.host_binding_ipv4": "192.0.2.1",
      "com.docker.network.host_ipv4": "192.0.2.9",
    },
    Labels: { a: "b" },
  });
  const ranged = networkRecord(2, {
    subnets: [{ subnet: "10.2.0.0/24", gateway: "10.2.0.1", ipRange: "10.2.0.64/26" }],
  });
  const answer = networkAnswer(registry, ranged);
  t.same(answer.IPAM.Config, [{ Subnet: "10.2.0.0/24", Gateway: "10.2.0.1", IPRange: "10.2.0.64/26" }]);
  t.same([answer.EnableIPv6, answer.Containers, Object.keys(answer.Options).length], [false, {}, 4]);
  t.end();
});

t.test("a sandbox is told with its places", (t) => {
  t.same(sandboxAnswer(registry, sandbox), {
    name,
    id: sandbox.id,
    created: "2026-01-02T03:04:05.000Z",
    state: "gone",
    path: `/run/netns/${name}`,
    adopted: null,
    joined: null,
    hostname: name,
    exposed: ["53/udp"],
    labels: { c: "d" },
    networks: [
      {
        network: "network1",
        endpoint: endpoint.id,
        link: "eth1",
        hostLink: endpoint.hostLink,
        mac: "02:42:0a:01:00:02",
        ipv4: "10.1.0.2",
        ipv6: "fd00:1::2",
        aliases: ["www"],
        bandwidth: null,
      },
    ],
  });
  const toSandbox = { rate: 5e6 };
  registry.commit({ endpoints: [{ ...endpoint, bandwidth: { toSandbox } }] });
  t.equal(sandboxAnswer(registry, sandbox).networks[0]?.bandwidth, "5mbit/unlimited");
  t.equal(networkAnswer(registry, network).Containers[sandbox.id]?.Bandwidth, "5mbit/unlimited");
  registry.commit({ endpoints: [endpoint] });
  const adopted = sandboxRecord("b", { namespace: { kind: "adopted", target: "/proc/7/ns/net" } });
  t.match(sandboxAnswer(registry, adopted), { adopted: "/proc/7/ns/net", networks: { length: 0 } });
  t.end();
});

t.test("of an encrypted network it is told what encrypts here", (t) => {
  const overlay = { link: "pvx-1", vni: 7, local: "fe80::1", port: 4789, isEncrypted: true } as const;
  const optionsOf = (more: object, encryption?: string) =>
    networkAnswer(registry, { ...network, ...more }, encryption).Options;
  t.match(optionsOf({ overlay }, "wireguard-go"), { encrypted: "", "pontoon.encryption": "wireguard-go" });
  t.match(optionsOf({ overlay }), { encrypted: "", "pontoon.encryption": /^none/ });
  for (const more of [{}, { overlay: { ...overlay, isEncrypted: undefined } }])
    t.notOk("pontoon.encryption" in optionsOf(more, "wireguard-go") || "encrypted" in optionsOf(more), "in plain");
  t.end();
});
