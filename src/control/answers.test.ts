import t from "tap";
import { explanationAnswer, flushAnswer, portsAnswer, recordsAnswer, statusAnswer } from "./answers.js";
import type { Explanation } from "../../dns/protocol.js";
import type { RecordRow } from "../names/record-rows.js";
import type { PortRow } from "../ports/contract.js";
import type { Status } from "../status.js";

const server = { state: "running", pid: 20, version: "1", detail: "", residentMemory: 1 };
const upstream = { ip: "10.0.0.53", port: 53, from: "container" } as const;
const status: Status = {
  ready: true,
  version: "1.2.3",
  pid: 10,
  observe: false,
  stateDir: "/var/lib/pontoon",
  docker: { host: "unix:///d.sock", state: "following", detail: "dockerd 20.10" },
  dns: server,
  ports: { ...server, pid: undefined, published: 3, shims: 1, connections: 12, workers: 1 },
  firewall: { rules: ["ip filter DOCKER-USER"], troubles: ["it is owned"] },
  networks: [{ id: "n", name: "front", driver: "bridge", internal: true, shared: false, endpoints: 2 }],
  containers: [
    {
      id: "c",
      source: "docker",
      name: "web",
      networks: [{ name: "front", ipv4: "10.0.0.2", ipv6: undefined, names: ["web"] }],
      resolver: "pontoon",
      reason: "",
      wanted: true,
      code: undefined,
      upstreams: ["10.0.0.53"],
      counters: {
        queries: 7,
        local: 5,
        cached: 0,
        forwarded: 2,
        dockerResolver: 0,
        failed: 1,
        refused: 0,
        tcpConnections: 0,
      },
    },
  ],
  upstreams: [{ upstream, asked: 1, answered: 1, timeouts: 0, failures: 0, latency: 0.5, down: false }],
  loopDelay: { p99: 0.5, max: 3 },
};
const records: RecordRow[] = [
  { network: "front", name: "web", container: "web", ipv4: "10.0.0.2", ipv6: undefined, ttl: 5 },
];
const rows: PortRow[] = [
  {
    container: "web",
    containerPort: 0,
    transport: "tcp",
    ip: "",
    hostPort: 0,
    by: "pontoon",
    source: "label",
    state: "failed",
    reason: "a label",
  },
  {
    container: "web",
    containerPort: 80,
    transport: "sctp",
    ip: "::",
    hostPort: 8080,
    by: "docker",
    source: "docker",
    state: "open",
  },
];
const explanation: Explanation = {
  reply: "AAAA",
  source: { kind: "upstream", upstream, transport: "udp" },
  took: 0.25,
  steps: ["asked"],
};

const overTheWire = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

t.test("what the daemon answers is understood, and given back whole", (t) => {
  for (const [read, value] of [
    [statusAnswer, status],
    [statusAnswer, { ...status, ofALaterVersion: 1 }],
    [recordsAnswer, records],
    [portsAnswer, rows],
    [explanationAnswer, explanation],
    [flushAnswer, { forgotten: 3 }],
  ] as const)
    t.same(read(overTheWire(value)), overTheWire(value));
  t.end();
});

t.test("an earlier daemon, which calls a counter otherwise, is understood until it is restarted", (t) => {
  const counters = {
    queries: 7,
    local: 5,
    cached: 0,
    forwarded: 2,
    bridged: 0,
    failed: 1,
    refused: 0,
    tcpConnections: 0,
  };
  const earlier = { ...status, containers: [{ ...status.containers[0], counters }] };
  t.same(statusAnswer(overTheWire(earlier)), overTheWire(earlier));
  for (const missing of ["queries", "failed"]) {
    const container = { ...status.containers[0], counters: { ...counters, [missing]: undefined } };
    t.throws(() => statusAnswer(overTheWire({ ...status, containers: [container] })), { code: "INTERNAL" });
  }
  t.end();
});

t.test("what it never answers is told as such", (t) => {
  const wrong = [
    [statusAnswer, "/v1/status", [null, {}, [], { ...status, pid: "10" }, { ...status, containers: [{}] }]],
    [recordsAnswer, "/v1/dns/records", [{}, [{ ...records[0], ttl: "5" }]]],
    [portsAnswer, "/v1/ports", [{}, [{ ...rows[0], state: "sleeping" }], [null]]],
    [explanationAnswer, "/v1/dns/query", [{ ...explanation, source: { kind: "nobody" } }]],
    [flushAnswer, "/v1/dns/flush", [{}, { forgotten: "3" }]],
  ] as const;
  for (const [read, path, values] of wrong)
    for (const value of values)
      t.throws(() => read(overTheWire(value)), { code: "INTERNAL", subject: path, message: /restart it/ });
  t.end();
});
