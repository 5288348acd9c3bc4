import { z } from "zod";
import { PontoonError } from "../../../common/errors.js";
import { addressList, engineId, hostAddress, networkName, orNothing, port, wordList } from "./schemas.js";

// What a runtime says to a plugin: specification of CNI 1.1, sections 1 and 2, and its conventions for runtimeConfig and args.

const text = z.string().max(4096);

const portMapping = z.object({
  /** Without one, or with 0, nothing is published. */
  hostPort: port.nullish(),
  containerPort: port.min(1),
  protocol: z
    .string()
    .toLowerCase()
    .pipe(z.enum(["tcp", "udp", "sctp"]))
    .default("tcp"),
  hostIP: hostAddress,
});

const aliases = z.array(text).max(1000);

/** Bits, and bits a second; 0 is what is not limited. Go's largest numbers lose their last digits here, which does not matter. */
const bits = orNothing(z.number().min(0), 0);
const bandwidth = z.object({ ingressRate: bits, ingressBurst: bits, egressRate: bits, egressBurst: bits });

const runtimeConfig = z.object({
  portMappings: orNothing(z.array(portMapping).max(16_384), []),
  ips: addressList,
  mac: text.nullish(),
  /** podman names the network with them. */
  aliases: z.union([aliases, z.record(z.string(), aliases)]).nullish(),
  bandwidth: orNothing(bandwidth, undefined),
  dns: orNothing(z.object({ servers: wordList, searches: wordList, options: wordList }), undefined),
});

const dns = z.object({ nameservers: wordList, domain: text.nullish(), search: wordList, options: wordList });

/** The configuration on standard input. What it does not know it leaves to others. */
const cniConfig = z.object({
  /** Of those that name none, as the specification has it. */
  cniVersion: z.string().max(64).default("0.1.0"),
  name: engineId,
  network: networkName.nullish(),
  runtimeConfig: orNothing(runtimeConfig, undefined),
  args: orNothing(z.object({ cni: orNothing(z.object({ ips: addressList }), undefined) }), undefined),
  dns: orNothing(dns, undefined),
  prevResult: z.unknown().optional(),
  "cni.dev/valid-attachments": z
    .array(z.object({ containerID: z.string().max(255), ifname: z.string().max(255) }))
    .max(100_000)
    .nullable()
    .optional(),
});
export type CniConfig = z.infer<typeof cniConfig>;

/** What stands in the environment; empty is what is not there. */
const cniCall = z.object({
  command: z.enum(["ADD", "DEL", "CHECK", "GC", "STATUS"]),
  container: z.union([engineId, z.literal("")]).default(""),
  netns: text.default(""),
  ifname: z.string().max(255).default(""),
  args: z.string().max(65_536).default(""),
});
export type CniCall = z.infer<typeof cniCall>;

/** Versions of the specification in which it is answered, but for VERSION itself: program/pontoon-cni.c has the same. */
export const cniVersions: readonly string[] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/** Throws CNI_CALL_INVALID. */
export function parseCniCall(values: unknown): CniCall {
  const read = cniCall.safeParse(values);
  if (read.success) return read.data;
  throw new PontoonError("CNI_CALL_INVALID", "CNI", `the call cannot be understood: ${firstIssue(read.error)}`);
}

/** Throws CNI_CONFIG_UNREADABLE, CNI_CONFIG_INVALID, CNI_VERSION_UNKNOWN. */
export function parseCniConfig(input: string): CniConfig {
  const read = cniConfig.safeParse(parseJson(input));
  if (!read.success)
    throw new PontoonError(
      "CNI_CONFIG_INVALID",
      "CNI configuration",
      `the network configuration makes no sense: ${firstIssue(read.error)}; correct the conflist`,
    );
  const { cniVersion, name } = read.data;
  if (cniVersions.includes(cniVersion)) return read.data;
  throw new PontoonError(
    "CNI_VERSION_UNKNOWN",
    name,
    `CNI ${cniVersion} is not spoken here, only ${cniVersions.join(", ")}; name one of these as cniVersion`,
  );
}

function parseJson(input: string): unknown {
  try {
    return JSON.parse(input);
  } catch {
    throw new PontoonError("CNI_CONFIG_UNREADABLE", "CNI configuration", "what stands on standard input is not JSON");
  }
}

/** Which field, and what is wrong with it. */
export function firstIssue({ issues: [issue] }: z.ZodError): string {
  return `${issue?.path.map(String).join(".") || "all of it"}: ${issue?.message ?? "something is wrong"}`;
}

/** Of `CNI_ARGS`: `A=1;B=2`. Throws CNI_CALL_INVALID. */
export function parseCniArgs(args: string): ReadonlyMap<string, string> {
  return new Map(
    args
      .split(";")
      .filter((pair) => pair !== "")
      .map((pair) => {
        const at = pair.indexOf("=");
        if (at > 0) return [pair.slice(0, at), pair.slice(at + 1)];
        throw new PontoonError("CNI_CALL_INVALID", "CNI_ARGS", `${pair} in CNI_ARGS is not written as NAME=VALUE`);
      }),
  );
}
