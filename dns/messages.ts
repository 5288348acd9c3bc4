// What the messages of protocol.ts must look like to be used. Whoever sends others was broken into, or is of another version.
import {
  amount,
  anyOf,
  flag,
  integer,
  listOf,
  messageReader,
  oneOf,
  optional,
  record,
  text,
  tuple,
  word,
  type Fields,
  type Shape,
} from "../common/shape.js";
import { sources } from "./protocol.js";
import type {
  EndpointRecord,
  Explanation,
  Forwarding,
  Gap,
  HeldSandbox,
  NetworkRecord,
  QueryLogEntry,
  Report,
  SandboxRecord,
  SandboxReport,
  Settings,
  Source,
  ToDaemon,
  ToServer,
  Upstream,
  UpstreamReport,
} from "./protocol.js";

/** Each container and each report has fewer of these; a message with more makes no sense. */
const many = 100_000;
/** Characters of a name, whatever it names. */
const nameLength = 4096;
/** A server's own limits for one address family; it never asks for more. */
const udpAtMost = 64;
const tcpAtMost = 16;

const id = word(256);
const name = text(nameLength);
const port = integer(1, 65_535);
const count = integer(0);
const request = integer(0);
const family = optional(oneOf("ipv4", "ipv6"));
const sourceName = oneOf(...sources);
const path = optional(text(nameLength));
const list = (shape: Shape) => listOf(shape, many);

function of<Record>(fields: Fields<Record>): Shape {
  return record(fields);
}

const upstream = of<Upstream>({ ip: word(64), port, from: oneOf("host", "container"), scope: optional(text(many)) });
const source = anyOf(
  of<Extract<Source, { kind: "local" }>>({ kind: oneOf("local"), network: name, names: list(name) }),
  of<Extract<Source, { kind: "upstream" }>>({
    kind: oneOf("upstream"),
    upstream,
    transport: oneOf("udp", "tcp"),
    cached: optional(flag),
  }),
  of<Extract<Source, { kind: "policy" | "failure" }>>({ kind: oneOf("policy", "failure"), reason: name }),
  of<Extract<Source, { kind: "docker" }>>({ kind: oneOf("docker") }),
);
export const explanation = of<Explanation>({
  reply: text(90_000),
  source,
  took: amount,
  steps: listOf(text(many), 100),
});
export const counters = of<SandboxReport["counters"]>({
  queries: count,
  local: count,
  cached: count,
  forwarded: count,
  dockerResolver: count,
  failed: count,
  refused: count,
  tcpConnections: count,
});
export const upstreamReport = of<UpstreamReport>({
  upstream,
  asked: count,
  answered: count,
  timeouts: count,
  failures: count,
  latency: amount,
  down: flag,
});
const report = of<Report>({
  sandboxes: list(of<SandboxReport>({ id, answering: flag, counters })),
  upstreams: list(upstreamReport),
  networks: count,
  endpoints: count,
  cache: of<Report["cache"]>({ entries: count, bytes: count }),
  residentMemory: count,
});
const query = of<QueryLogEntry>({
  sandbox: id,
  container: name,
  name,
  type: integer(0, 65_535),
  transport: oneOf("udp", "tcp"),
  rcode: integer(0, 4095),
  source: name,
  took: amount,
});

/** What a server says, if it makes sense. */
export const readToDaemon = messageReader<ToDaemon>({
  "want-sockets": { sandbox: id, family, udp: integer(0, udpAtMost), tcp: integer(0, tcpAtMost) },
  releasing: { sandbox: id },
  released: { sandbox: id },
  ended: { sandbox: id },
  answering: { sandbox: id, answering: flag },
  explained: { request, explanation: optional(explanation) },
  reported: { request, report, more: optional(flag) },
  flushed: { request, answers: count },
  log: { queries: listOf(query, 1000), dropped: count },
});

/** What a server of whatever version says it holds. */
export const readHeld = messageReader<HeldSandbox>({
  held: { sandbox: id, port, path, source: optional(sourceName) },
});

const transport = oneOf("tcp", "udp", "sctp");
const endpoint = of<EndpointRecord>({
  network: id,
  source: sourceName,
  container: id,
  names: list(name),
  ipv4: optional(word(64)),
  ipv6: optional(word(64)),
  ports: list(tuple(integer(0, 65_535), transport)),
  ttl: count,
});
const forwarding = anyOf(
  of<Extract<Forwarding, { kind: "never" }>>({ kind: oneOf("never") }),
  of<Extract<Forwarding, { kind: "upstreams" }>>({ kind: oneOf("upstreams"), upstreams: list(upstream) }),
);
const sandbox = of<SandboxRecord>({
  id,
  source: sourceName,
  container: id,
  containerName: name,
  networks: list(of<SandboxRecord["networks"][number]>({ id, links: list(tuple(name, name)) })),
  forwarding,
  singleLabels: oneOf("forward", "no-data", "deny"),
  sharesAnswers: flag,
  search: list(name),
});

/** What a daemon says after the handshake, if it makes sense. */
export const readToServer = messageReader<ToServer>({
  settings: {
    settings: of<Settings>({ orphanAfter: amount, queryLog: flag, cacheSize: count, patience: integer(1, 60_000) }),
  },
  network: { network: of<NetworkRecord>({ id, source: sourceName, name, shared: flag }) },
  "network-gone": { id },
  endpoint: { endpoint },
  "endpoint-gone": { network: id, container: id },
  sandbox: { sandbox },
  sockets: { sandbox: id, port, path, hasDockerResolver: flag, udp: integer(0, 200), tcp: integer(0, 200) },
  "more-sockets": { sandbox: id, family, udp: integer(0, 200), tcp: integer(0, 200) },
  release: { sandbox: id },
  close: { sandbox: id },
  gap: { gap: of<Gap>({ everywhere: flag, networks: list(id) }) },
  synced: { source: sourceName },
  alive: {},
  explain: { request, sandbox: id, query: text(100_000) },
  report: { request },
  flush: { request, name: optional(name) },
});
