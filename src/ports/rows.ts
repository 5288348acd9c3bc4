import { formatAddress } from "../../common/address.js";
import type { PublicationReport } from "../../proxy/publication/relay.js";
import type { Report } from "../../proxy/protocol.js";
import type { Inventory } from "../inventory/inventory.js";
import { containerNamed } from "../inventory/targets.js";
import type { Container, DockerPort } from "../inventory/types.js";
import { idOf, type Entry } from "./entry.js";
import { pathOf, type Path } from "./kernel-path.js";
import type { LabelFailure } from "./label-plan.js";
import { PontoonError } from "../../common/errors.js";
import { mappingsOf, parsePortSpec } from "./spec.js";
import { dialFailureText } from "./dial-failures.js";
import type { PortRow } from "./contract.js";

export interface PortSources {
  readonly inventory: Inventory;
  readonly entries: readonly Entry[];
  readonly labelFailures: ReadonlyMap<string, readonly LabelFailure[]>;
  /** Why dockerd could not bind a port, by the container's id. */
  readonly unbound: ReadonlyMap<string, string>;
  /** As for {@link pathOf}. */
  readonly kernelMay: boolean;
  /** Undefined while pontoon-proxy cannot be asked. */
  readonly report: Report | undefined;
}

/** Everything that is published on the host. @param nameOrId of one container; throws NO_SUCH_CONTAINER */
export function portRows(sources: PortSources, nameOrId?: string): PortRow[] {
  const { inventory, entries, labelFailures, unbound, report, kernelMay } = sources;
  const reports = new Map(
    report?.publications.map((each) => [
      idOf({ transport: each.protocol, ip: each.listen.ip, hostPort: each.listen.port }),
      each,
    ]),
  );
  const rows = [
    ...entries.map((entry) => rowOfEntry(entry, reports.get(idOf(entry.port)), pathOf(inventory, entry, kernelMay))),
    ...[...labelFailures].flatMap(([container, failures]) =>
      failures.flatMap((failure) => rowsOfFailure(container, failure)),
    ),
    ...[...inventory.containers.values()].flatMap(({ name, published }) =>
      published.map((port) => rowOfDocker(name, port, reports)),
    ),
    ...[...inventory.containers.values()].flatMap((container) => rowsOfUnbound(container, unbound.get(container.id))),
  ].sort(compareRows);
  if (nameOrId === undefined) return rows;
  const container = containerNamed(inventory, nameOrId)?.name;
  const own = rows.filter((row) => row.container === (container ?? nameOrId));
  if (container === undefined && own.length === 0)
    throw new PontoonError(
      "NO_SUCH_CONTAINER",
      nameOrId,
      `no container or sandbox is called ${nameOrId}; see \`pontoon status\``,
    );
  return own;
}

/** A published port without what has happened on it. */
export function rowOfEntry(
  { port, failure, target, refusal }: Entry,
  report?: PublicationReport,
  path?: Path,
): PortRow {
  const { container, containerPort, transport, ip, hostPort, source } = port;
  const row = { container, containerPort, transport, ip, hostPort, by: "pontoon", source } as const;
  if (failure !== undefined) return { ...row, state: "failed", reason: failure };
  const way = target
    ? ({ state: "open", target: formatAddress(target), ...(path && { path }) } as const)
    : ({ state: "refusing", ...(refusal !== undefined && { reason: refusal }) } as const);
  return { ...row, ...way, ...(report && happened(report)) };
}

function rowsOfFailure(container: string, { spec, mapping, reason }: LabelFailure): PortRow[] {
  const row = { container, ip: "", by: "pontoon", source: "label", state: "failed", reason } as const;
  try {
    return (mapping ? [mapping] : mappingsOf(parsePortSpec(spec))).map(
      ({ containerPort, transport, ip, hostPorts }) => ({
        ...row,
        containerPort,
        transport,
        ip: ip ?? "",
        hostPort: hostPorts?.first ?? 0,
      }),
    );
  } catch {
    return [{ ...row, containerPort: 0, transport: "tcp", hostPort: 0 }]; // what it says makes no sense, as the reason tells
  }
}

function rowsOfUnbound({ name, unboundPort }: Container, reason: string | undefined): PortRow[] {
  if (unboundPort === undefined || reason === undefined) return [];
  const { transport, ip, hostPort, containerPort } = unboundPort;
  return [
    {
      container: name,
      containerPort,
      transport,
      ip,
      hostPort,
      by: "docker",
      source: "docker",
      state: "failed",
      reason,
    },
  ];
}

/** Served by pontoon-proxy if a shim has handed it over. */
function rowOfDocker(container: string, port: DockerPort, reports: ReadonlyMap<string, PublicationReport>): PortRow {
  const { transport, ip, hostPort, containerPort } = port;
  const report = transport === "sctp" ? undefined : reports.get(idOf({ transport, ip, hostPort }));
  const target = report?.target;
  return {
    container,
    containerPort,
    transport,
    ip,
    hostPort,
    by: report ? "pontoon" : "docker",
    source: "docker",
    state: "open",
    ...(target && { target: formatAddress(target) }),
    ...(report && happened(report)),
  };
}

function happened({
  target,
  connections,
  accepted,
  refused,
  failedDials,
  dialFailure,
  withoutSourcePort,
  bytesToContainer,
  bytesToClients,
}: PublicationReport): Partial<PortRow> {
  const why = target !== undefined && dialFailure !== undefined ? { reason: dialFailureText(dialFailure, target) } : {};
  return { connections, accepted, refused, failedDials, withoutSourcePort, bytesToContainer, bytesToClients, ...why };
}

function compareRows(a: PortRow, b: PortRow): number {
  return (
    compareTexts(a.container, b.container) ||
    a.containerPort - b.containerPort ||
    compareTexts(a.transport, b.transport) ||
    a.hostPort - b.hostPort ||
    compareTexts(a.ip, b.ip)
  );
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
