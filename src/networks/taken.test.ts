import t from "tap";
import { networkRecord } from "./testing/records.js";
import { dockerSubnets, takenSubnets, type SubnetUsers } from "./taken.js";

const nobody: SubnetUsers = { routes: [], networks: [], dockerSubnets: [], resolvers: [] };
const route = (ip: string, prefix: number, linkName = "eth0") => ({
  destination: { ip, prefix },
  gateway: undefined,
  link: 2,
  table: 254,
  linkName,
});

t.test("who has subnets is told, who asks for them before what follows", (t) => {
  const cases: [what: string, users: Partial<SubnetUsers>, taken: string[]][] = [
    ["nobody", {}, []],
    [
      "a network, whose bridge's own route says nothing more",
      { networks: [networkRecord(1, { ipv6: true })], routes: [route("10.1.0.0", 24, "br1")] },
      ["10.1.0.0/24: network network1", "fd00:1::/64: network network1"],
    ],
    [
      "Docker, where what is no subnet is left out",
      {
        dockerSubnets: [
          { network: "bridge", subnet: "172.17.0.0/16" },
          { network: "x", subnet: "not one" },
        ],
      },
      ["172.17.0.0/16: Docker's network bridge"],
    ],
    [
      "routes of the host",
      { routes: [route("192.0.2.0", 24), route("2001:db8::", 32)] },
      [
        "192.0.2.0/24: the host's route 192.0.2.0/24 dev eth0",
        "2001:db8::/32: the host's route 2001:db8::/32 dev eth0",
      ],
    ],
    [
      "ways to everywhere, halves of the world, multicast and link-local",
      {
        routes: ["0.0.0.0/0", "128.0.0.0/1", "::/0", "8000::/1", "fe80::/64", "ff00::/8"].map((text) => {
          const [ip, prefix] = text.split("/");
          return route(ip!, Number(prefix), "tun0");
        }),
      },
      [],
    ],
    [
      "resolvers",
      { resolvers: ["192.0.2.53", "2001:DB8::53", "fe80::1%eth0", "nonsense"] },
      ["192.0.2.53/32: the resolver 192.0.2.53", "2001:db8::53/128: the resolver 2001:db8::53"],
    ],
    [
      "all of them",
      {
        networks: [networkRecord(1)],
        dockerSubnets: [{ network: "bridge", subnet: "172.17.0.0/16" }],
        routes: [route("172.17.0.0", 16, "docker0")],
        resolvers: ["192.0.2.53"],
      },
      [
        "10.1.0.0/24: network network1",
        "172.17.0.0/16: Docker's network bridge",
        "172.17.0.0/16: the host's route 172.17.0.0/16 dev docker0",
        "192.0.2.53/32: the resolver 192.0.2.53",
      ],
    ],
  ];
  for (const [what, users, taken] of cases)
    t.same(
      takenSubnets({ ...nobody, ...users }).map(({ subnet, by }) => `${subnet.text}: ${by}`),
      taken,
      what,
    );
  t.end();
});

t.test("of the networks that are known, Docker's count, with all their subnets", (t) => {
  const base = { driver: "bridge", internal: false, predefined: false, shared: false };
  const networks = [
    { ...base, id: "1", source: "docker" as const, name: "theirs", subnets: ["172.20.0.0/16", "fd00::/64"] },
    { ...base, id: "2", source: "docker" as const, name: "host" },
    { ...base, id: "3", source: "pontoon" as const, name: "ours", subnets: ["10.0.0.0/24"] },
  ];
  t.same(dockerSubnets({ networks: new Map(networks.map((network) => [network.id, network])) }), [
    { network: "theirs", subnet: "172.20.0.0/16" },
    { network: "theirs", subnet: "fd00::/64" },
  ]);
  t.end();
});
