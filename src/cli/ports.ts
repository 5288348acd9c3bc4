import { formatAddress } from "../../common/address.js";
import type { PortRow, PublishRequest, UnpublishRequest } from "../ports/contract.js";
import { PontoonError } from "../../common/errors.js";
import { matcherOf, parsePortSpec } from "../ports/spec.js";
import type { PublishFlags } from "./flags.js";
import { askedOptions } from "./publish-options.js";
import { formatTable } from "./table.js";

/** What the daemon is asked to publish. Throws PORT_SPEC_INVALID. */
export function publishRequest(container: string, specs: readonly string[], flags: PublishFlags): PublishRequest {
  for (const spec of specs) parsePortSpec(spec);
  const { all, ip } = flags;
  const options = askedOptions(flags);
  return {
    container,
    specs,
    ...(all !== undefined && { all }),
    ...(ip !== undefined && { ip }),
    ...(Object.keys(options).length > 0 && { options }),
  };
}

/** The request to unpublish. Throws PORT_SPEC_INVALID. */
export function unpublishRequest(container: string, specs: readonly string[]): UnpublishRequest {
  for (const spec of specs) parsePortSpec(spec);
  return { container, specs };
}

/** @param container all of the host's without one */
export function portsPath(container: string | undefined): string {
  return `/v1/ports${container === undefined ? "" : `?container=${encodeURIComponent(container)}`}`;
}

/**
 * The rows of one port of a container. Throws PORT_SPEC_INVALID, and NOT_PUBLISHED if none of them is bound.
 * @param port `80`, `80/udp`
 */
export function rowsOfPort(rows: readonly PortRow[], container: string, port: string): readonly PortRow[] {
  const matching = rows.filter(matcherOf(port));
  if (matching.some(isBound)) return matching;
  const [failed] = matching;
  const why = failed
    ? `${portText(failed)} of ${container} is not published: ${reasonText(failed)}`
    : `${container} publishes no port ${port}; \`pontoon port ${container}\` shows what it does publish`;
  throw new PontoonError("NOT_PUBLISHED", container, why);
}

/** What `docker port CONTAINER PORT` prints: `0.0.0.0:8080`, `[::]:8080`. */
export function addressText({ ip, hostPort }: PortRow): string {
  return formatAddress({ ip, port: hostPort });
}

/** What `docker port CONTAINER` prints: `80/tcp -> 0.0.0.0:8080`. */
export function lineText(row: PortRow): string {
  return `${portText(row)} -> ${addressText(row)}`;
}

/** The same with the container's name in front, which holds no blank. */
export function namedLineText(row: PortRow): string {
  return `${row.container} ${lineText(row)}`;
}

/** Whether the host's port is held for the container. */
export function isBound({ state }: PortRow): boolean {
  return state !== "failed";
}

/** Why a line is missing, for people: it goes to stderr. */
export function failedText(row: PortRow): string {
  if (row.containerPort === 0) return `${row.container}: ${reasonText(row)}`; // part of a label that makes no sense
  return `${namedLineText(row)} is not published: ${reasonText(row)}`;
}

/** Everything that is known, as a table. */
export function longText(rows: readonly PortRow[]): string[] {
  if (rows.length === 0) return ["No published ports."];
  const header = [
    "CONTAINER",
    "PORT",
    "ADDRESS",
    "BY",
    "STATE",
    "TARGET",
    "PATH",
    "OPEN",
    "ACCEPTED",
    "FAILED DIALS",
    "REFUSED",
    "TO CONTAINER",
    "TO CLIENTS",
    "",
  ];
  return formatTable(header, rows.map(longCells));
}

function longCells(row: PortRow): string[] {
  const by = row.by === "docker" ? "docker" : `pontoon (${row.source})`;
  const counters = [row.connections, row.accepted, row.failedDials, row.refused].map(
    (count) => count?.toString() ?? "-",
  );
  const bytes = [row.bytesToContainer, row.bytesToClients].map((count) =>
    count === undefined ? "-" : bytesText(count),
  );
  const place = row.containerPort === 0 ? ["-", "-"] : [portText(row), addressText(row)];
  return [
    row.container,
    ...place,
    by,
    row.state,
    row.target ?? "-",
    row.path ?? "-",
    ...counters,
    ...bytes,
    [row.reason, shortageText(row)].filter((text) => text).join("; "),
  ];
}

function shortageText({ transport, withoutSourcePort = 0 }: PortRow): string {
  if (withoutSourcePort === 0) return "";
  return `${transport === "udp" ? "no port of udp-source-ports" : "no source port"} was left towards the container, ${withoutSourcePort} times`;
}

/** Three digits and a decimal unit: `999 B`, `1.23 kB`, `52.4 MB`. */
export function bytesText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  let value = bytes;
  // 999.5 would be written with four digits.
  for (; value >= 999.5 && unit < units.length - 1; unit++) value /= 1000;
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

function portText({ containerPort, transport }: PortRow): string {
  return `${containerPort}/${transport}`;
}

function reasonText({ reason }: PortRow): string {
  return reason ?? "no reason is known";
}
