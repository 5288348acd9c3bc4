import { z } from "zod";
import { isAddress } from "../../common/address.js";
import { rememberedOptions } from "./option-schemas.js";
import type { PublishedPort } from "./published-port.js";

const port = z.number().int().min(1).max(65_535);
/** A published port that is remembered. */
export const portSchema = z.strictObject({
  container: z.string().min(1),
  transport: z.enum(["tcp", "udp"]),
  ip: z.string().refine((ip) => isAddress(ip), "is not an address"),
  hostPort: port,
  containerPort: port,
  options: rememberedOptions,
  byDefault: z.literal(true).exactOptional(),
  source: z.enum(["command", "label", "driver"]),
  endpoint: z
    .strictObject({ id: z.string().min(1), ipv4: z.ipv4().exactOptional(), ipv6: z.ipv6().exactOptional() })
    .exactOptional(),
}) satisfies z.ZodType<PublishedPort>;

/** Undefined for what is no published port that could be remembered. */
export function publishedPortOf(value: unknown): PublishedPort | undefined {
  const read = portSchema.safeParse(value);
  return read.success ? read.data : undefined;
}

/** The first few faults, on one line; one that is everywhere would fill the log. @param whole what it is about */
export function explain({ issues }: z.ZodError, whole: string): string {
  const told = issues.slice(0, 3).map(({ path, message }) => `${path.join(".") || whole}: ${message}`);
  return [...told, ...(issues.length > told.length ? [`${issues.length - told.length} more`] : [])].join("; ");
}
