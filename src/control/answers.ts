// What the daemon answers, as the command understands it. Light: `pontoon status` loads little.
import { PontoonError } from "../../common/errors.js";
import {
  amount,
  flag,
  integer,
  listOf,
  oneOf,
  optional,
  readerOf,
  record,
  text,
  type Fields,
  type Shape,
} from "../../common/shape.js";
import { explanation, upstreamReport } from "../../dns/messages.js";
import type { Counters, Explanation } from "../../dns/protocol.js";
import type { RecordRow } from "../names/record-rows.js";
import type { PortRow } from "../ports/contract.js";
import type { ClusterStatus } from "../cluster/status.js";
import type { DriverStatus } from "../networks/networks-status.js";
import type { ContainerStatus, NetworkStatus, Status } from "../status.js";

const words = text(Infinity);
const count = integer(0);
const port = integer(0, 65_535);
const list = (shape: Shape) => listOf(shape, Infinity);

function of<Record>(fields: Fields<Record>): Shape {
  return record(fields);
}

/** People are shown two. Of the others earlier daemons, which may run until they are restarted, have one by another name. */
const counters = of<Counters>({
  queries: count,
  failed: count,
  local: optional(count),
  cached: optional(count),
  forwarded: optional(count),
  dockerResolver: optional(count),
  refused: optional(count),
  tcpConnections: optional(count),
});

const server = {
  state: words,
  pid: optional(count),
  version: optional(words),
  detail: words,
  residentMemory: optional(count),
};

const status = of<Status>({
  ready: flag,
  version: words,
  pid: count,
  observe: flag,
  stateDir: words,
  docker: of<Status["docker"]>({
    host: words,
    state: oneOf("waiting", "listing", "following", "stopped", "none"),
    detail: words,
  }),
  dns: of<Status["dns"]>(server),
  ports: of<Status["ports"]>({ ...server, published: count, shims: count, connections: count, workers: count }),
  firewall: optional(of<NonNullable<Status["firewall"]>>({ rules: list(words), troubles: list(words) })),
  backend: optional(
    of<NonNullable<Status["backend"]>>({
      networks: count,
      sandboxes: count,
      gone: list(words),
      cutOff: optional(list(words)),
      off: optional(words),
      due: optional(count),
      tunnelTrouble: optional(words),
      driver: optional(of<DriverStatus>({ networks: count, endpoints: count, off: optional(words) })),
    }),
  ),
  cluster: optional(
    of<ClusterStatus>({
      store: words,
      host: of<ClusterStatus["host"]>({ id: words, name: words, advertise: words }),
      state: oneOf("joining", "joined", "apart", "refused"),
      detail: words,
      hosts: count,
      away: list(words),
      encryption: optional(words),
      plain: optional(list(words)),
      networks: count,
      endpoints: count,
      members: list(
        of<ClusterStatus["members"][number]>({
          name: words,
          endpoint: words,
          healthy: flag,
          isLeader: flag,
          error: optional(words),
        }),
      ),
      leader: optional(words),
      behind: count,
    }),
  ),
  networks: list(
    of<NetworkStatus>({ id: words, name: words, driver: words, internal: flag, shared: flag, endpoints: count }),
  ),
  containers: list(
    of<ContainerStatus>({
      id: words,
      source: optional(oneOf("docker", "pontoon", "hosts")), // earlier daemons know only Docker's
      name: words,
      networks: list(
        of<ContainerStatus["networks"][number]>({
          name: words,
          ipv4: optional(words),
          ipv6: optional(words),
          names: list(words),
        }),
      ),
      resolver: oneOf("pontoon", "docker", "nobody"),
      reason: words,
      wanted: flag,
      code: optional(words),
      upstreams: list(words),
      counters: optional(counters),
    }),
  ),
  upstreams: list(upstreamReport),
  loopDelay: optional(of<NonNullable<Status["loopDelay"]>>({ p99: amount, max: amount })),
});

const recordRow = of<RecordRow>({
  network: words,
  name: words,
  container: words,
  ipv4: optional(words),
  ipv6: optional(words),
  ttl: count,
});

const portRow = of<PortRow>({
  container: words,
  containerPort: port,
  transport: oneOf("tcp", "udp", "sctp"),
  ip: words,
  hostPort: port,
  by: oneOf("docker", "pontoon"),
  source: oneOf("docker", "command", "label", "driver"),
  state: oneOf("open", "refusing", "failed"),
  reason: optional(words),
  target: optional(words),
  path: optional(oneOf("kernel", "proxy")),
  connections: optional(count),
  accepted: optional(count),
  refused: optional(count),
  failedDials: optional(count),
  withoutSourcePort: optional(count),
  bytesToContainer: optional(count),
  bytesToClients: optional(count),
});

// Each throws INTERNAL for what a daemon of this version does not answer.

/** `GET /v1/status`. */
export const statusAnswer = answer<Status>("/v1/status", status);
/** `GET /v1/dns/records`. */
export const recordsAnswer = answer<readonly RecordRow[]>("/v1/dns/records", list(recordRow));
/** `POST /v1/dns/query`. */
export const explanationAnswer = answer<Explanation>("/v1/dns/query", explanation);
/** `POST /v1/dns/flush`. */
export const flushAnswer = answer<{ readonly forgotten: number }>("/v1/dns/flush", record({ forgotten: count }));
/** `GET /v1/ports`, and what publishing and unpublishing are answered with. */
export const portsAnswer = answer<readonly PortRow[]>("/v1/ports", list(portRow));

function answer<Answer>(path: string, shape: Shape): (value: unknown) => Answer {
  const read = readerOf<Answer>(shape);
  return (value) => {
    const understood = read(value);
    if (understood !== undefined) return understood;
    throw new PontoonError(
      "INTERNAL",
      path,
      `the daemon's answer makes no sense (${path}); if the daemon is of another version than this command, restart it`,
    );
  };
}
