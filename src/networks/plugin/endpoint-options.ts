import { z } from "zod";
import { isIP } from "node:net";
import { PontoonError } from "../../../common/errors.js";
import { isLinkName } from "../../../common/link-name.js";
import { parseBandwidth } from "../bandwidth.js";
import type { BandwidthRecord } from "../records.js";
import { labels } from "./protocol.js";
import type { MappedPort } from "../../inventory/endpoint-ports.js";

const transports = { 6: "tcp", 17: "udp", 132: "sctp" } as const;
const port = z.number().int().min(0).max(65_535);
const portMap = z.array(
  z.object({
    Proto: z.union([z.literal(6), z.literal(17), z.literal(132)]),
    Port: port.min(1),
    HostIP: z.string().nullish(),
    HostPort: port.nullish(),
    HostPortEnd: port.nullish(),
  }),
);

/** Whether a call says which ports are published, if any are. */
export function hasMappedPorts(options: Readonly<Record<string, unknown>>): boolean {
  return (options[labels.portMap] ?? undefined) !== undefined;
}

/** What `-p` and `-P` ask for. Throws OPTION_INVALID. */
export function mappedPorts(options: Readonly<Record<string, unknown>>): MappedPort[] {
  const read = portMap.safeParse(options[labels.portMap] ?? []);
  if (!read.success)
    throw new PontoonError(
      "OPTION_INVALID",
      labels.portMap,
      `the published ports cannot be understood: ${read.error.issues[0]?.message ?? "they are no list"}`,
    );
  return read.data.map(({ Proto, Port, HostIP, HostPort, HostPortEnd }) => {
    const first = HostPort ?? 0;
    const ip = HostIP ?? "";
    if (ip !== "" && isIP(ip) === 0)
      throw new PontoonError("OPTION_INVALID", ip, `${ip} is no address that a port could be published at`);
    return {
      transport: transports[Proto],
      containerPort: Port,
      ...(ip !== "" && { ip }),
      ...(first > 0 && { hostPorts: { first, last: Math.max(first, HostPortEnd ?? 0) } }),
    };
  });
}

/** What is called so on a container, for all of its networks, and among the options of one of its networks. */
export const bandwidthLabel = "pontoon.bandwidth";

/** How fast the endpoint is to be. Throws OPTION_INVALID, BANDWIDTH_INVALID. */
export function bandwidthOf(options: Readonly<Record<string, unknown>>): BandwidthRecord | undefined {
  const text = options[bandwidthLabel];
  if (text === undefined || text === null) return undefined;
  if (typeof text === "string") return parseBandwidth(text);
  throw new PontoonError(
    "OPTION_INVALID",
    bandwidthLabel,
    `the option ${bandwidthLabel} is not a text; write it as 10mbit/1mbit`,
  );
}

/** A name for the link in the container, where one is asked for. Throws LINK_NAME_INVALID. */
export function linkNameOf(options: Readonly<Record<string, unknown>>): string | undefined {
  const name = options[labels.linkName];
  if (name === undefined || name === null || name === "") return undefined;
  if (typeof name === "string" && isLinkName(name) && !name.includes("%") && name !== "lo") return name;
  const text = JSON.stringify(name).slice(0, 100);
  throw new PontoonError(
    "LINK_NAME_INVALID",
    text,
    `${text} cannot be a link's name; it has 1 to 15 bytes, without spaces, /, : and %, and is not lo`,
  );
}
