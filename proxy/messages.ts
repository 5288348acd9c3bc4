// What the messages of protocol.ts must look like to be used. Whoever sends others was broken into, or is
// of another version.
import type { SocketAddress } from "../common/address.js";
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
} from "../common/shape.js";
import {
  GONE_AT_MOST,
  type HeldPublication,
  type Report,
  type Settings,
  type ToDaemon,
  type ToProxy,
} from "./protocol.js";
import { ofEachOption, shapeOfOption, type PublicationOptions } from "./publication/options.js";
import type { Publication, PublicationOwner } from "./publication/publication.js";
import type { PortSpan } from "./dial/source-ports.js";
import type { PublicationReport } from "./publication/relay.js";

const id = word(256);
const count = integer(0);
const request = integer(0);
const reason = text(8192);

function of<Record>(fields: Fields<Record>): Shape {
  return record(fields);
}

const addresses = listOf(word(64), GONE_AT_MOST);
const port = integer(0, 65_535);
const socketAddress = of<SocketAddress>({ ip: word(64), port });
const options = of<PublicationOptions>(ofEachOption((option) => optional(shapeOfOption(option))));
const protocol = oneOf("tcp", "udp");
const owner = of<PublicationOwner>({
  container: word(1024),
  containerPort: integer(1, 65_535),
  source: oneOf("command", "label", "driver"),
  byDefault: optional(flag),
  endpoint: optional(
    of<NonNullable<PublicationOwner["endpoint"]>>({ id: word(64), ipv4: optional(word(64)), ipv6: optional(word(64)) }),
  ),
});
const publication = of<Publication>({
  id,
  protocol,
  listen: socketAddress,
  target: optional(socketAddress),
  options,
  owner: optional(owner),
});
const publicationReport = of<PublicationReport>({
  id,
  protocol,
  listen: socketAddress,
  target: optional(socketAddress),
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

/** What a daemon says after the handshake, if it makes sense. */
export const readToProxy = messageReader<ToProxy>({
  settings: {
    settings: of<Settings>({ drainMs: amount, sourcePorts: optional(of<PortSpan>({ first: port, last: port })) }),
  },
  open: { publication },
  retarget: { id, target: optional(socketAddress) },
  close: { id },
  synced: {},
  keep: { id, target: optional(socketAddress) },
  avoid: { request, ports: listOf(port, 65_535) },
  gone: { addresses },
  worker: {},
  report: { request },
  ping: { request },
});
