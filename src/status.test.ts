import t from "tap";
import type { SandboxRecord } from "../dns/protocol.js";
import { Inventory } from "./inventory/inventory.js";
import { container as anyContainer, endpoint as anyEndpoint, network } from "./inventory/testing/containers.js";
import type { Container, Endpoint } from "./inventory/types.js";
import { statusOf, type StatusSources } from "./status.js";

const endpoint = (networkId: string): Endpoint => anyEndpoint(networkId, "10.0.0.2");
const container = (id: string, given: Partial<Container> = {}): Container =>
  anyContainer(id, { endpoints: [endpoint("front")], ...given });
const sandbox = (id: string, given: Partial<SandboxRecord> = {}): SandboxRecord => ({
  source: "docker",
  id,
  container: id,
  containerName: id,
  networks: [],
  singleLabels: "forward",
  sharesAnswers: false,
  search: [],
  forwarding: {
    kind: "upstreams",
    upstreams: [
      { ip: "10.0.0.53", port: 53, from: "host" },
      { ip: "8.8.8.8", port: 53, from: "container" },
    ],
  },
  ...given,
});
const counters = {
  queries: 7,
  local: 5,
  cached: 0,
  forwarded: 2,
  dockerResolver: 0,
  failed: 1,
  refused: 0,
  tcpConnections: 0,
};

const proxy = (given: Partial<StatusSources["ports"]> = {}): StatusSources["ports"] => ({
  enabled: true,
  server: { kind: "running", pid: 98 },
  unsteered: undefined,
  unread: undefined,
  report: undefined,
  ...given,
});

/** @param dns of these, what is different for pontoon-dns */
function sources(given: Partial<StatusSources> = {}, dns: Partial<StatusSources["dns"]> = {}): StatusSources {
  const inventory = new Inventory();
  for (const entry of [network("front"), network("back", { internal: true }), network("bridge", { predefined: true })])
    inventory.source("docker").putNetwork(entry);
  for (const entry of [container("web"), container("db"), container("stopped", { running: false })])
    inventory.source("docker").putContainer(entry);
  const serve = (id: string, given?: Partial<SandboxRecord>) =>
    [
      id,
      { kind: "serve", sandbox: sandbox(id, given), place: { kind: "process", pid: 1 }, hasDockerResolver: true },
    ] as const;
  return {
    ready: true,
    version: "1.2.3",
    observe: false,
    dockerHost: "unix:///d.sock",
    stateDir: "/var/lib/pontoon",
    feed: { kind: "following", since: new Date(0), version: "20.10.24" },
    inventory,
    dns: {
      enabled: true,
      server: { kind: "running", pid: 99, version: "1.2.3", adopted: false },
      decisions: new Map([serve("web"), serve("db", { forwarding: { kind: "never" } })]),
      failures: new Map(),
      answering: new Set(["web"]),
      unsteered: undefined,
      takenOver: new Set(),
      report: undefined,
      ...dns,
    },
    ports: proxy(),
    firewall: { rules: ["ip filter DOCKER-USER"], troubles: [] },
    backend: { networks: 0, sandboxes: 0, gone: [] },
    loopDelay: undefined,
    ...given,
  };
}

t.test("what is published is counted, dockerd's own apart", (t) => {
  const publication = {
    protocol: "tcp",
    listen: { ip: "0.0.0.0", port: 80 },
    target: undefined,
    connections: 3,
    accepted: 3,
    refused: 0,
    failedDials: 0,
    withoutSourcePort: 0,
    bytesToContainer: 0,
    bytesToClients: 0,
  } as const;
  const report = {
    publications: [
      { ...publication, id: "shim 1" },
      { ...publication, id: "tcp 0.0.0.0 80" },
    ],
    shims: 1,
    draining: 0,
    workers: 1,
    waitingForDescriptors: 0,
    residentMemory: 1e6,
  };
  t.match(statusOf(sources({ ports: proxy({ report }) })).ports, {
    state: "running",
    pid: 98,
    published: 1,
    shims: 1,
    connections: 6,
  });
  const unread = proxy({ enabled: false, server: { kind: "stopped" }, unread: "the store cannot be read" });
  t.match(statusOf(sources({ ports: unread })).ports, { state: "off", detail: "the store cannot be read" });
  t.match(statusOf(sources({ ports: { ...unread, unsteered: 9 } })).ports.detail, /^the store cannot be read; .*pid 9/);
  t.match(statusOf(sources({ ports: proxy({ enabled: false, server: { kind: "stopped" } }) })).ports, {
    state: "off",
    published: 0,
  });
  t.end();
});

t.test("a resolver that is switched off wants nothing", (t) => {
  const status = statusOf(sources({}, { enabled: false, server: { kind: "stopped" }, answering: new Set() }));
  t.equal(status.dns.state, "off");
  t.match(status.containers, {
    length: 2,
    0: { resolver: "docker", wanted: false, reason: "dns.enabled is false" },
    1: {},
  });
  t.end();
});

t.test("what servers do that this daemon does not steer is told, and who answers is who answers", (t) => {
  const server = { kind: "stopped" } as const;
  const answering = (...names: string[]) => ({ takenOver: new Set(names) });
  for (const [observe, enabled] of [
    [true, true],
    [false, false],
  ] as const) {
    const off = { enabled, server, answering: new Set<string>() };
    const ports = proxy({ enabled: false, server, unsteered: 78 });
    const orphan = statusOf(sources({ observe, ports }, { ...off, unsteered: 77, ...answering("web") }));
    t.match(
      orphan.dns.detail,
      /earlier daemon, pid 77, still answers in one container; a daemon that takes over adopts it/,
    );
    t.match(orphan.ports.detail, /earlier daemon, pid 78, still serves; .* `kill 78` ends it/);
    t.match(orphan.containers, {
      length: 2,
      0: { name: "db", resolver: "docker" },
      1: { name: "web", resolver: "pontoon", reason: "by a pontoon-dns that this daemon does not steer" },
    });
    t.match(
      statusOf(sources({ observe }, { ...off, ...answering("web", "db") })).dns.detail,
      "the pontoon-dns of another daemon answers in 2 containers",
    );
    t.equal(statusOf(sources({ observe }, off)).dns.detail, "");
  }
  t.end();
});

const one = (dns: Partial<StatusSources["dns"]>, name: string, given: Partial<StatusSources> = {}) =>
  statusOf(sources(given, dns)).containers.find((entry) => entry.name === name);

t.test("networks of the user are listed with how many are on them", (t) => {
  t.same(statusOf(sources()).networks, [
    { id: "back", name: "back", driver: "bridge", internal: true, shared: false, endpoints: 0 },
    { id: "front", name: "front", driver: "bridge", internal: false, shared: false, endpoints: 3 },
  ]);
  t.end();
});

t.test("how long the daemon was held up is there when it is measured, and only then", (t) => {
  t.notOk("loopDelay" in statusOf(sources()));
  t.same(statusOf(sources({ loopDelay: { p99: 1, max: 2 } })).loopDelay, { p99: 1, max: 2 });
  t.end();
});

t.test("running containers are listed with who answers them and whom they would ask", (t) => {
  t.same(
    statusOf(sources()).containers.map(({ name }) => name),
    ["db", "web"],
  );
  t.match(one({}, "web"), {
    resolver: "pontoon",
    reason: "",
    upstreams: { length: 2, 0: "host(10.0.0.53)", 1: "8.8.8.8" },
    networks: { length: 1, 0: { name: "front", ipv4: "10.0.0.2", names: { length: 1, 0: "web" } } },
    counters: undefined,
  });
  t.match(one({}, "db"), { resolver: "docker", reason: "not taken over yet", upstreams: { length: 0 } });
  t.end();
});

t.test("whoever Docker answers is told why", (t) => {
  t.match(
    one(
      { decisions: new Map([["web", { kind: "leave", reason: "label pontoon.dns=off" }]]), answering: new Set() },
      "web",
    ),
    { resolver: "docker", reason: "label pontoon.dns=off", upstreams: { length: 0 } },
  );
  t.match(one({ failures: new Map([["db", { code: "EPERM", reason: "setns: EPERM" }]]) }, "db"), {
    resolver: "docker",
    reason: "setns: EPERM",
  });
  t.match(one({ answering: new Set() }, "web", { observe: true }), {
    resolver: "docker",
    reason: "would be answered by pontoon",
  });
  t.end();
});

t.test("what the server reports stands with its containers", (t) => {
  const upstreams = [
    {
      upstream: { ip: "10.0.0.53", port: 53, from: "host" as const },
      asked: 2,
      answered: 2,
      timeouts: 0,
      failures: 0,
      latency: 1.5,
      down: false,
    },
  ];
  const report = {
    sandboxes: [{ id: "web", answering: true, counters }],
    upstreams,
    networks: 1,
    endpoints: 1,
    cache: { entries: 0, bytes: 0 },
    residentMemory: 5e7,
  };
  const status = statusOf(sources({}, { report }));
  t.same(status.upstreams, upstreams);
  t.equal(status.dns.residentMemory, 5e7);
  t.same(
    status.containers.map((entry) => entry.counters),
    [undefined, counters],
  );
  t.end();
});

t.test("dockerd and the server are told in words", (t) => {
  t.match(statusOf(sources()), {
    ready: true,
    version: "1.2.3",
    pid: process.pid,
    docker: {
      host: "unix:///d.sock",
      state: "following",
      detail: "Docker 20.10.24, followed since 1970-01-01T00:00:00.000Z",
    },
    dns: { state: "running", pid: 99, detail: "" },
  });
  t.match(statusOf(sources({ feed: { kind: "waiting", reason: "ENOENT" } })).docker, {
    state: "waiting",
    detail: "ENOENT",
  });
  t.match(statusOf(sources({}, { server: { kind: "running", pid: 99, version: "1.2.3", adopted: true } })).dns, {
    detail: "adopted",
  });
  t.match(statusOf(sources({}, { server: { kind: "given-up", reason: "five deaths" } })).dns, {
    state: "given-up",
    pid: undefined,
    detail: "five deaths",
  });
  t.match(statusOf(sources({ observe: true })).dns, { state: "observing" });
  t.end();
});
