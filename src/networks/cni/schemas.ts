import { isIP } from "node:net";
import { z } from "zod";

// What CNI and netavark have in common in what they say.

/** Of a container, or of a network of the engine's. */
export const engineId = z
  .string()
  .regex(
    /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/,
    "1 to 255 letters, digits, `_`, `.` and `-`, of which the first is a letter or digit",
  );

/** Name or id of a network of pontoon's. */
export const networkName = z.string().min(1).max(64);

/** Of one line of resolv.conf. */
const words = z.array(z.string().regex(/^[!-~]{1,255}$/, "one word without spaces")).max(1000);

/** Go writes null for a list or a map that is empty. */
export function orNothing<Schema extends z.ZodType, Value>(schema: Schema, nothing: Value) {
  return schema.nullish().transform((value) => value ?? nothing);
}

export const wordList = orNothing(words, [] as string[]);

/** An address, whose prefix is the network's to say. */
export const address = z
  .string()
  .max(64)
  .transform((text) => text.split("/")[0]!)
  .refine((ip) => isIP(ip) !== 0, "not an address");

export const addressList = orNothing(z.array(address).max(16), [] as string[]);

export const port = z.number().int().min(0).max(65_535);

/** Where a port is bound; nothing for all addresses of the host. */
export const hostAddress = z
  .string()
  .nullish()
  .transform((ip) => (ip === "" ? undefined : (ip ?? undefined)))
  .refine((ip) => ip === undefined || isIP(ip) !== 0, "not an address of the host");
