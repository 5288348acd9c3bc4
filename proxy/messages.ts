// What the messages of protocol.ts and bulk-protocol.ts must look like to be used. Whoever sends others was broken into, or is
// of another version.
import {
  amount,
  flag,
  integer,
  listOf,
  messageReader,
  oneOf,
  optional,
  record,
  text,
  word,
  type Fields,
  type Shape,
} from "../src/shape.js";
import type { EndRecord, FromWorker, ToWorker } from "./bulk-protocol.js";
import {
  GONE_AT_MOST,
  type HeldPublication,
  type Report,
  type Settings,
  type ToDaemon,
  type ToProxy,
} from "./protocol.js";
import type { Endpoint, Publication, PublicationOptions, PublicationOwner } from "./publication.js";
import type { PortSpan } from "./source-ports.js";
import type { PublicationReport } from "./relay.js";

const id = word(256);
const count = integer(0);
const request = integer(0);
const reason = text(8192);
const networks = listOf(text(64), 10_000);

function of<Record>(fields: Fields<Record>): Shape {
  return record(fields);
}

const addresses = listOf(word(64), GONE_AT_MOST);
const port = integer(0, 65_535);
const endpoint = of<Endpoint>({ ip: word(64), port });
const options = of<PublicationOptions>({
  connectTimeoutMs: optional(amount),
  halfClosedIdleMs: optional(amount),
  maxConnections: optional(amount),
  proxyProtocol: optional(oneOf("none", "v1", "v2")),
  acceptProxyProtocolFrom: optional(networks),
  proxyHeaderMs: optional(amount),
  allowFrom: optional(networks),
  udpIdleMs: optional(amount),
  udpFlows: optional(amount),
  drainMs: optional(amount),
});
const protocol = oneOf("tcp", "udp");
const owner = of<PublicationOwner>({
  container: word(1024),
  containerPort: integer(1, 65_535),
  source: oneOf("command", "label"),
  byDefault: optional(flag),
});
const publication = of<Publication>({
  id,
  protocol,
  listen: endpoint,
  target: optional(endpoint),
  options,
  owner: optional(owner),
});
const publicationReport = of<PublicationReport>({
  id,
  protocol,
  listen: endpoint,
  target: optional(endpoint),
  connections: count,
  accepted: count,
  refused: count,
  failedDials: count,
  dialFailure: optional(word(64)),
  withoutSourcePort: count,
  bytesToContainer: count,
  bytesToClients: count,
});
const report = of<Report>({
  publications: listOf(publicationReport, 10_000),
  draining: count,
  shims: count,
  workers: count,
  waitingForDescriptors: count,
  residentMemory: count,
});

/** What pontoon-proxy says, if it makes sense. */
export const readToDaemon = messageReader<ToDaemon>({
  opened: { id },
  failed: { id, code: word(64), message: reason },
  closed: { id },
  declined: { reason },
  avoided: { request },
  notice: { reason },
  "failed-dials": { id, reason: word(64) },
  "want-worker": {},
  reported: { request, report, more: optional(flag) },
  pong: { request },
});

/** What a pontoon-proxy of whatever version says it holds. */
export const readHeld = messageReader<HeldPublication>({ held: { publication } });

/** What a daemon says beyond the first words, if it makes sense. */
export const readToProxy = messageReader<ToProxy>({
  settings: {
    settings: of<Settings>({ drainMs: amount, sourcePorts: optional(of<PortSpan>({ first: port, last: port })) }),
  },
  open: { publication },
  retarget: { id, target: optional(endpoint) },
  close: { id },
  synced: {},
  keep: { id, target: optional(endpoint) },
  avoid: { request, ports: listOf(port, 65_535) },
  gone: { addresses },
  worker: {},
  report: { request },
  ping: { request },
});

/** What a bulk worker says, if it makes sense. */
export const readFromWorker = messageReader<FromWorker>({
  ready: {},
  progress: { publication: count, ended: count, bytesToContainer: count, bytesToClients: count },
});

const end = of<EndRecord>({ ended: flag, shut: flag, unsent: optional(text(4 << 20)) });

/** What pontoon-proxy says to a bulk worker, if it makes sense. */
export const readToWorker = messageReader<ToWorker>({
  take: { publication: count, halfClosedIdleMs: amount, to: word(64), client: end, container: end },
  end: { publication: count, to: optional(addresses) },
});
