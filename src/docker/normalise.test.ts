import type { ContainerInspectInfo, NetworkInspectInfo } from "dockerode";
import t from "tap";
import { containerOf, engineInfoOf, networkOf } from "./normalise.js";

const id = "0123456789ab".padEnd(64, "c");
const container = (raw: object) => containerOf({ Id: id, ...raw } as ContainerInspectInfo);
const network = (raw: object) => networkOf({ Id: "n1", Name: "front", Driver: "bridge", ...raw } as NetworkInspectInfo);

t.test("a running container of Docker 20.10 is read", (t) => {
  const read = container({
    Name: "/web1",
    State: { Running: true, Pid: 4711 },
    Config: { Hostname: "box", Labels: { "pontoon.dns": "off" }, ExposedPorts: { "80/tcp": {}, "53/udp": {} } },
    HostConfig: {
      NetworkMode: "front",
      Dns: ["10.0.0.53"],
      DnsOptions: ["ndots:1"],
      DnsSearch: ["example"],
      Links: ["/db:/web1/database"],
    },
    HostsPath: "/h",
    ResolvConfPath: "/r",
    NetworkSettings: {
      SandboxID: "s1",
      Ports: {
        "53/udp": null,
        "80/tcp": [
          { HostIp: "0.0.0.0", HostPort: "8080" },
          { HostIp: "::", HostPort: "8080" },
        ],
        "81/tcp": [{ HostIp: "", HostPort: "" }],
        odd: [{}],
      },
      Networks: {
        front: {
          NetworkID: "n1",
          Aliases: ["web", "0123456789ab"],
          Links: ["cache:c", "db"],
          IPAddress: "10.0.0.2",
          GlobalIPv6Address: "",
          Gateway: "10.0.0.1",
          IPv6Gateway: "",
        },
      },
    },
  });
  t.same(read, {
    id,
    source: "docker",
    name: "web1",
    hostname: "box",
    labels: { "pontoon.dns": "off" },
    running: true,
    sandbox: { kind: "process", id: "s1", pid: 4711 },
    networkMode: { kind: "own" },
    ports: [
      [53, "udp"],
      [80, "tcp"],
    ],
    published: [
      { transport: "tcp", ip: "0.0.0.0", hostPort: 8080, containerPort: 80 },
      { transport: "tcp", ip: "::", hostPort: 8080, containerPort: 80 },
    ],
    dns: { servers: ["10.0.0.53"], options: ["ndots:1"], search: ["example"] },
    endpoints: [
      {
        networkId: "n1",
        networkName: "front",
        aliases: ["web"],
        links: [
          ["cache", "c"],
          ["db", "db"],
        ],
        ipv4: "10.0.0.2",
        ipv6: undefined,
        hasGateway: { ipv4: true, ipv6: false },
        gatewayPriority: 0,
      },
    ],
    hostsPath: "/h",
    resolvConfPath: "/r",
    excess: undefined,
    legacyLinks: [["db", "database"]],
    partial: false,
  });
  t.end();
});

t.test("what newer versions add is read too", (t) => {
  const { endpoints } = container({
    NetworkSettings: {
      Networks: {
        front: {
          Aliases: null,
          DNSNames: ["web1", "web", "0123456789ab", "box"],
          GlobalIPv6Address: "fd00::2",
          IPv6Gateway: "fd00::1",
          GwPriority: 7,
        },
      },
    },
  });
  t.match(endpoints, {
    length: 1,
    0: {
      aliases: { length: 3, 0: "web1", 1: "web", 2: "box" },
      ipv4: undefined,
      ipv6: "fd00::2",
      hasGateway: { ipv4: false, ipv6: true },
      gatewayPriority: 7,
    },
  });
  t.end();
});

t.test("a container without a process has no namespace", (t) => {
  const state = (running: boolean, pid: number, sandbox: string) =>
    container({ State: { Running: running, Pid: pid }, NetworkSettings: { SandboxID: sandbox } }).sandbox;
  t.equal(state(false, 0, "s1"), undefined, "stopped");
  t.equal(state(true, 0, "s1"), undefined, "starting: Docker 20.10 has no pid yet");
  t.equal(state(true, 5, ""), undefined, "joining");
  t.same(state(true, 5, "s1"), { kind: "process", id: "s1", pid: 5 });
  t.end();
});

t.test("whose network a container uses is told by its mode", (t) => {
  const cases: [mode: string, expected: object][] = [
    ["default", { kind: "own" }],
    ["front", { kind: "own" }],
    ["host", { kind: "host" }],
    ["none", { kind: "none" }],
    ["container:abc", { kind: "container", of: "abc" }],
  ];
  for (const [mode, expected] of cases)
    t.same(container({ HostConfig: { NetworkMode: mode } }).networkMode, expected, mode);
  t.end();
});

t.test("a field that is missing or odd costs that field", (t) => {
  t.match(container({}), {
    name: "",
    running: false,
    sandbox: undefined,
    endpoints: { length: 0 },
    ports: { length: 0 },
    labels: {},
  });
  const odd = container({
    Name: 5,
    State: "no",
    Config: {
      Labels: { "pontoon.good": "yes", "pontoon.bad": 5 },
      ExposedPorts: { "80": {}, "81/tcp": {}, "82/sctp": {}, "83/other": {}, nonsense: {} },
    },
    HostConfig: { Dns: ["10.0.0.1", 5, null], Links: ["/a:/b/c", "", "nonsense", 5] },
    NetworkSettings: {
      Networks: {
        front: null,
        back: { IPAddress: "not an address", Links: ["", "a:b", 5], Aliases: [5, "x"], GwPriority: "9" },
      },
    },
  });
  t.match(odd, {
    name: "",
    labels: { "pontoon.good": "yes" },
  });
  t.same(odd.ports, [
    [80, "tcp"],
    [81, "tcp"],
    [82, "sctp"],
  ]);
  t.same(odd.dns.servers, ["10.0.0.1"]);
  t.same(
    odd.endpoints.map(({ networkName, ipv4, links, aliases, gatewayPriority }) => [
      networkName,
      ipv4,
      links,
      aliases,
      gatewayPriority,
    ]),
    [
      ["front", undefined, [], [], 0],
      ["back", undefined, [["a", "b"]], ["x"], 0],
    ],
  );
  t.same(odd.legacyLinks, [["a", "c"]]);
  t.same(Object.keys(odd.labels), ["pontoon.good"]);
  t.throws(() => containerOf({} as ContainerInspectInfo), /id/);
  t.end();
});

t.test("a network is read with who is on it", (t) => {
  const other = "e".repeat(64);
  const read = network({
    Internal: true,
    Scope: "local",
    Containers: {
      [id]: { Name: "web1", IPv4Address: "10.0.0.2/24", IPv6Address: "" },
      [other]: { Name: "db", IPv4Address: "", IPv6Address: "fd00::3/64" },
      "ep-abc": { Name: "stale", IPv4Address: "10.0.0.9/24" },
    },
  });
  t.same(read.network, {
    id: "n1",
    source: "docker",
    name: "front",
    driver: "bridge",
    internal: true,
    predefined: false,
    shared: false,
    bridge: "br-n1",
  });
  t.same(read.endpoints, [
    { container: id, name: "web1", ipv4: "10.0.0.2", ipv6: undefined },
    { container: other, name: "db", ipv4: undefined, ipv6: "fd00::3" },
  ]);
  t.same(network({ Containers: null }).endpoints, []);
  t.end();
});

t.test("the bridge of a network has the name Docker gives it, or its user", (t) => {
  const named = (name: unknown) => ({ Options: { "com.docker.network.bridge.name": name } });
  const cases: [raw: object, bridge: string | undefined][] = [
    [{ Id: id }, "br-0123456789ab"],
    [{ Id: id, ...named("shop") }, "shop"],
    ...["", "x".repeat(16), "a b", "a/b", 7].map((odd): [object, string] => [
      { Id: id, ...named(odd) },
      "br-0123456789ab",
    ]),
    [{ Id: id, Driver: "macvlan" }, undefined],
  ];
  for (const [raw, bridge] of cases) t.equal(network(raw).network.bridge, bridge);
  t.end();
});

t.test("networks of Docker's own making have no names, networks of several hosts have more", (t) => {
  const cases: [what: string, raw: object, expected: object][] = [
    [
      "the default bridge",
      { Name: "bridge", Options: { "com.docker.network.bridge.default_bridge": "true" } },
      { predefined: true },
    ],
    ["host", { Name: "host", Driver: "host" }, { predefined: true }],
    ["none", { Name: "none", Driver: "null" }, { predefined: true }],
    ["the gateway of overlay networks", { Name: "docker_gwbridge" }, { predefined: true }],
    ["a user's bridge of that name", { Name: "bridge" }, { predefined: false }],
    ["overlay", { Driver: "overlay", Scope: "swarm" }, { shared: true }],
    ["a global one", { Driver: "weave", Scope: "global" }, { shared: true }],
    ["a local one", { Driver: "macvlan", Scope: "local" }, { shared: false }],
  ];
  for (const [what, raw, expected] of cases) t.match(network(raw).network, expected, what);
  t.throws(() => networkOf({} as NetworkInspectInfo), /id/);
  t.end();
});

t.test("what a network gives addresses from is kept as Docker says it", (t) => {
  const subnets = (ipam: unknown) => network({ IPAM: ipam }).network.subnets;
  t.same(subnets({ Config: [{ Subnet: "172.18.0.0/16", Gateway: "172.18.0.1" }, { Subnet: "fd00::/64" }] }), [
    "172.18.0.0/16",
    "fd00::/64",
  ]);
  for (const odd of [undefined, null, {}, { Config: null }, { Config: [] }, { Config: "x" }, { Config: [null, {}, 5] }])
    t.equal(subnets(odd), undefined);
  t.equal(subnets({ Config: Array.from({ length: 1000 }, () => ({ Subnet: "10.0.0.0/24" })) })?.length, 64);
  t.equal(subnets({ Config: [{ Subnet: "1".repeat(100_000) }] }), undefined);
  t.end();
});

t.test("how dockerd was started is read from its security options", (t) => {
  const none = { liveRestore: false, rootless: false, usernsRemap: false };
  t.same(engineInfoOf({ SecurityOptions: ["name=seccomp,profile=default", "name=rootless", "name=cgroupns"] }), {
    ...none,
    rootless: true,
  });
  t.same(engineInfoOf({ LiveRestoreEnabled: true, SecurityOptions: ["name=userns"] }), {
    ...none,
    liveRestore: true,
    usernsRemap: true,
  });
  for (const odd of [undefined, {}, { SecurityOptions: "name=rootless" }, { SecurityOptions: [5, "rootless"] }])
    t.same(engineInfoOf(odd), none);
  t.end();
});

t.test("what is more than is kept of one container is left out, and said", (t) => {
  const names = (count: number, from = 0) => Array.from({ length: count }, (_, index) => `name${from + index}`);
  const on = (...networks: object[]) =>
    container({ NetworkSettings: { Networks: Object.fromEntries(networks.map((raw, index) => [`n${index}`, raw])) } });
  t.same(on({ Aliases: names(1000) }).excess, undefined);
  const many = on({ Aliases: names(320_000) }, { Aliases: ["short"] });
  t.same(many.excess, { reason: "it has 320000 names on a network; pontoon keeps 1000 for a container", names: true });
  t.same(
    many.endpoints.map(({ aliases }) => aliases.length),
    [1000, 1],
    "the first are kept, and the other network's",
  );
  t.equal(
    on(...Array.from({ length: 100 }, () => ({ Aliases: names(5000) }))).endpoints.reduce(
      (sum, { aliases }) => sum + aliases.length,
      0,
    ),
    10_000,
  );
  t.same(on({ Links: names(1001).map((name) => `${name}:x`) }).excess?.names, false, "links are the client's own");
  t.match(on(...Array.from({ length: 513 }, () => ({}))), {
    endpoints: { length: 512 },
    excess: { reason: /513 networks/, names: true },
  });
  for (const setting of ["Dns", "DnsOptions", "DnsSearch"])
    t.match(container({ HostConfig: { [setting]: names(65) } }).excess, { reason: /65 DNS|65 search/, names: false });
  const exposed = container({
    Config: { ExposedPorts: Object.fromEntries(Array.from({ length: 65_535 }, (_, port) => [`${port + 1}/tcp`, {}])) },
  });
  t.match(exposed.excess, { reason: /65535 exposed ports/, names: false });
  t.same(
    on({ Aliases: ["x".repeat(254), "y".repeat(253)] }).endpoints[0]!.aliases,
    ["y".repeat(253)],
    "a name DNS cannot ask for is none",
  );
  t.same(container({ Config: { Labels: { other: "x", "pontoon.dns": "off" } } }).labels, { "pontoon.dns": "off" });
  t.end();
});

t.test("what is to be published over UDP is known before the container runs", (t) => {
  const of = (bindings: unknown) =>
    container({ State: { Running: false }, HostConfig: { PortBindings: bindings } }).wantedUdp;
  t.same(
    of({
      "80/tcp": [{ HostPort: "80" }],
      "53/udp": [{ HostIp: "", HostPort: "5353" }, { HostPort: "6000-6010" }],
      "54/udp": [{ HostPort: "" }],
    }),
    [
      { first: 5353, last: 5353 },
      { first: 6000, last: 6010 },
    ],
  );
  for (const HostPort of ["", "0", "x", "65536", "1-65536", "5-", "-5", 53, null, "9".repeat(100_000)])
    t.equal(of({ "53/udp": [{ HostPort }] }), undefined, String(HostPort).slice(0, 20));
  for (const odd of [null, 5, { "53/udp": null }, { "53/udp": [null] }]) t.equal(of(odd), undefined);
  t.equal(of({ "53/udp": Array.from({ length: 20_000 }, () => ({ HostPort: "53" })) })?.length, 10_000);
  t.end();
});

t.test("a port that dockerd could not bind, in the words of Docker 28 and 29", (t) => {
  const bindings = {
    "80/tcp": [{ HostIp: "", HostPort: "9090" }],
    "53/udp": [{ HostIp: "10.0.0.1", HostPort: "53" }],
    "81/tcp": [{ HostIp: "", HostPort: "" }],
  };
  const after = (error: string, running = false) =>
    container({ State: { Running: running, Error: error }, HostConfig: { PortBindings: bindings } }).unboundPort;
  const failed = (what: string) =>
    "failed to set up container networking: driver failed programming external connectivity on endpoint web (97bc): " +
    `failed to bind host port ${what}: address already in use`;
  for (const [what, ip, hostPort, containerPort, transport] of [
    ["for 10.77.0.1:9090:172.17.0.3:80/tcp", "10.77.0.1", 9090, 80, "tcp"],
    ["for [::]:9090:[fd00::2]:80/tcp", "::", 9090, 80, "tcp"],
    ["0.0.0.0:9090/tcp", "0.0.0.0", 9090, 80, "tcp"],
    ["[::]:9090/tcp", "::", 9090, 80, "tcp"],
    ["10.0.0.1:53/udp", "10.0.0.1", 53, 53, "udp"],
  ] as const)
    t.same(after(failed(what)), { transport, ip, hostPort, containerPort }, what);
  t.same(
    after("driver failed …: Error starting userland proxy: listen tcp4 0.0.0.0:9090: bind: address already in use"),
    { transport: "tcp", ip: "0.0.0.0", hostPort: 9090, containerPort: 80 },
    "where dockerd starts a proxy for the port",
  );
  for (const other of [
    "",
    "no such file",
    failed("0.0.0.0:9091/tcp"),
    failed("0.0.0.0:9090/udp"),
    failed("x:9090/tcp"),
    "failed to bind host port 0.0.0.0:9090/tcp: permission denied",
  ])
    t.equal(after(other), undefined, other);
  t.equal(after(failed("0.0.0.0:9090/tcp"), true), undefined, "it runs");
  t.equal(after("failed to bind host port for 1.1.1.1:1".repeat(100_000)), undefined);
  t.end();
});

t.test("where a network's options have Docker bind ports", (t) => {
  const options = (given: Record<string, string>) => {
    const { hostBinding, unbound } = network({
      Options: Object.fromEntries(
        Object.entries(given).map(([key, value]) => [`com.docker.network.bridge.${key}`, value]),
      ),
    }).network;
    return { hostBinding, unbound };
  };
  t.same(options({ host_binding_ipv4: "127.0.0.1" }), { hostBinding: "127.0.0.1", unbound: undefined });
  t.same(options({ host_binding_ipv4: "0:0:0:0::1" }), { hostBinding: "::1", unbound: undefined });
  for (const value of ["0.0.0.0", "", "nonsense"])
    t.same(options({ host_binding_ipv4: value }), { hostBinding: undefined, unbound: undefined });
  t.same(options({ gateway_mode_ipv4: "routed", gateway_mode_ipv6: "nat" }), {
    hostBinding: undefined,
    unbound: { ipv4: "routed" },
  });
  t.same(options({ gateway_mode_ipv4: "nat-unprotected", gateway_mode_ipv6: "isolated" }), {
    hostBinding: undefined,
    unbound: { ipv6: "isolated" },
  });
  t.end();
});
