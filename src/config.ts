import { readFileSync } from "node:fs";
import { parse, YAMLParseError } from "yaml";
import { z } from "zod";
import { errorCode, PontoonError } from "../common/errors.js";
import { defaultSourcePorts, type PortSpan } from "../proxy/dial/source-ports.js";
import { canonicalAddress } from "../common/address.js";
import { networkSchema } from "./config-network.js";

const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;

/** With fewer ports, flows that are in use would be ended. */
const sourcePortsAtLeast = 100;

function spanOf(text: string, context: z.RefinementCtx): PortSpan {
  const [, first, last] = /^(\d{1,5})-(\d{1,5})$/.exec(text) ?? [];
  const span = { first: Number(first), last: Number(last) };
  if (span.first >= 1024 && span.last <= 65_535 && span.last - span.first + 1 >= sourcePortsAtLeast) return span;
  context.addIssue({
    code: "custom",
    message: `must be at least ${sourcePortsAtLeast} ports from 1024 on, such as ${defaultSourcePorts.first}-${defaultSourcePorts.last}`,
  });
  return z.NEVER;
}

const dnsSchema = z
  .strictObject({
    /** Answer containers' names. */
    enabled: z.boolean().default(true),
    /** Seconds clients may keep the answer for a container's name. */
    ttl: z.number().int().min(0).max(86_400).default(5),
    /** Log every query, with the container that asked. */
    "query-log": z.boolean().default(false),
    /** Megabytes for cached answers of upstream servers; 0 caches none. */
    "cache-size": z.number().int().min(0).max(4096).default(32),
    /** Whether a single label that no container has is forwarded as it is, or answered with NXDOMAIN. */
    "single-label": z.enum(["forward", "local"]).default("forward"),
    /** The network namespace upstream servers are asked from: the one Docker would choose, or always the same. */
    "forward-from": z.enum(["docker", "host", "container"]).default("docker"),
    /** Seconds an upstream server may be silent before the answer of a later one in the list counts. */
    patience: z.number().min(0.1).max(3.5).default(2),
    /** Whether answers of upstream servers that were asked from inside a container are cached for all on the same networks. */
    "share-answers": z.boolean().default(false),
    /** Seconds pontoon-dns goes on without a daemon before it hands back to Docker. */
    "orphan-after": z.number().int().min(1).max(3600).default(60),
  })
  .prefault({});

/** Keys of `etcd` that say nothing without the other. */
const etcdTogether = [
  ["cert", "ca"],
  ["cert", "key"],
  ["key", "cert"],
  ["user", "password-file"],
  ["password-file", "user"],
] as const;

type EtcdKey = (typeof etcdTogether)[number][number];

/** Half of a pair would have etcd asked in plain, or as nobody. */
function requireWhole(given: { readonly [Key in EtcdKey]?: string | undefined }, context: z.RefinementCtx): void {
  for (const [key, other] of etcdTogether)
    if (given[key] !== undefined && given[other] === undefined)
      context.addIssue({
        code: "custom",
        path: [key],
        message: `needs etcd.${other} beside it; write both, or neither`,
      });
}

const etcdSchema = z
  .strictObject({
    /** Files: the authority that has signed the members' certificates, and this host's own certificate and key. */
    ca: z.string().optional(),
    cert: z.string().optional(),
    key: z.string().optional(),
    user: z.string().optional(),
    /** File with the password, which only root reads. */
    "password-file": z.string().optional(),
  })
  .superRefine(requireWhole)
  .prefault({});

const wireguardSchema = z
  .strictObject({
    /** What encrypts overlay networks: the kernel, where it can; a program, by its path; nothing. */
    use: z
      .string()
      .regex(/^(?:kernel|off|\/.+)$/, "must be kernel, off, or the path of a program such as /usr/bin/wireguard-go")
      .default("kernel"),
    /** Of UDP: where other hosts reach it. */
    port: z.number().int().min(1).max(65_535).default(51_840),
  })
  .prefault({});

const portsSchema = z
  .strictObject({
    /** Run pontoon-proxy: serve ports of dockerd's, and publish others. */
    enabled: z.boolean().default(true),
    /** Seconds connections may go on after their port was unpublished. */
    drain: z.number().int().min(0).max(86_400).default(10),
    /** Ports of the host that UDP flows are sent to containers from, `FIRST-LAST`. */
    "udp-source-ports": z.string().default(`${defaultSourcePorts.first}-${defaultSourcePorts.last}`).transform(spanOf),
  })
  .prefault({});

const schema = z
  .strictObject({
    /** The dockerd to follow, as DOCKER_HOST may hold it; `none` to run without Docker. */
    docker: z.string().optional(),
    "log-level": z.enum(logLevels).default("info"),
    /** Where networks, addresses and names are kept that other hosts have, too: `embedded` on this host alone, or `etcd://HOST:2379,…`. */
    store: z.string().default("embedded"),
    /** How etcd is reached. */
    etcd: etcdSchema,
    /** How overlay networks are encrypted. */
    wireguard: wireguardSchema,
    /** The address at which other hosts reach this one; that of the default route without it. */
    advertise: z
      .union([z.ipv4(), z.ipv6()])
      .transform((ip) => canonicalAddress(ip) ?? ip)
      .optional(),
    /** Take over nothing; `pontoon status` shows what would be. */
    observe: z.boolean().default(false),
    /** The host's address for published ports that name none; all addresses without it. */
    ip: z
      .union([z.ipv4(), z.ipv6()])
      .transform((ip) => canonicalAddress(ip) ?? ip)
      .optional(),
    dns: dnsSchema,
    ports: portsSchema,
    network: networkSchema,
  })
  .prefault({});

export type Config = z.infer<typeof schema>;

export const defaultConfigPath = "/etc/pontoon/pontoon.yaml";

/**
 * Reads the configuration.
 * @param path as given with `--config`; undefined reads the default path, which need not exist
 * Throws CONFIG_UNREADABLE or CONFIG_INVALID with the key and the remedy.
 */
export function loadConfig(path: string | undefined): Config {
  const file = path ?? defaultConfigPath;
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (path === undefined && errorCode(error) === "ENOENT") return schema.parse({});
    throw new PontoonError(
      "CONFIG_UNREADABLE",
      file,
      `${file} cannot be read (${errorCode(error) ?? "unknown error"}); check the path given with --config`,
      { cause: error },
    );
  }
  return parseConfig(text, file);
}

/** Checks a configuration's text. Throws CONFIG_INVALID. */
export function parseConfig(text: string, file: string): Config {
  let data: unknown;
  try {
    data = parse(text) ?? {};
  } catch (error) {
    const where = error instanceof YAMLParseError && error.linePos ? ` line ${error.linePos[0].line}` : "";
    const what = error instanceof Error ? error.message.split("\n", 1)[0]!.split(" at line", 1)[0] : String(error);
    throw new PontoonError("CONFIG_INVALID", file, `${file}${where}: not YAML: ${what}; correct the line`, {
      cause: error,
    });
  }
  const result = schema.safeParse(data);
  if (result.success) return result.data;
  throw new PontoonError("CONFIG_INVALID", file, `${file}: ${result.error.issues.map(explainIssue).join("; ")}`);
}

/** One issue with its key, what is wrong, and what to write instead. */
function explainIssue(issue: z.core.$ZodIssue): string {
  const key = issue.path.join(".");
  switch (issue.code) {
    case "unrecognized_keys": {
      const prefix = key === "" ? "" : `${key}.`;
      const known = knownKeys(key);
      return issue.keys
        .map((name) => `unknown key ${prefix}${name}${suggest(name, known)}; known here: ${known.join(", ")}`)
        .join("; ");
    }
    case "invalid_type":
      return `${key === "" ? "the file" : key}: must be ${article(issue.expected)}; write ${example(issue.expected)}`;
    case "invalid_value":
      return `${key}: must be one of ${issue.values.join(", ")}`;
    case "invalid_union":
      return `${key}: must be an IPv4 or IPv6 address of this host, such as 192.0.2.1`;
    case "too_small":
      return `${key}: must be at least ${String(issue.minimum)}`;
    case "too_big":
      return `${key}: must be at most ${String(issue.maximum)}`;
    default:
      return `${key}: ${issue.message}`;
  }
}

function knownKeys(path: string): string[] {
  if (path === "etcd") return Object.keys(etcdSchema.unwrap().shape);
  if (path === "wireguard") return Object.keys(wireguardSchema.parse({}));
  if (path === "dns") return Object.keys(dnsSchema.parse({}));
  if (path === "ports") return Object.keys(portsSchema.parse({}));
  if (path === "network")
    return Object.keys({ bridge: "", bip: "", "fixed-cidr": "", mtu: 0, ...networkSchema.parse({}) });
  if (path.startsWith("network.default-address-pools")) return ["base", "size"];
  return Object.keys({ docker: "", ip: "", advertise: "", ...schema.parse({}) });
}

/** The known key a misspelled one most likely meant. */
function suggest(name: string, known: readonly string[]): string {
  const plain = (key: string) => key.toLowerCase().replaceAll(/[-_]/g, "");
  const close = known.find(
    (key) => plain(key) === plain(name) || plain(key).startsWith(plain(name)) || plain(name).startsWith(plain(key)),
  );
  return close === undefined ? "" : ` (did you mean ${close}?)`;
}

function article(expected: string): string {
  if (expected === "object" || expected === "record") return "a mapping of keys";
  if (expected === "int" || expected === "number") return "a whole number";
  if (expected === "array") return "a list";
  return expected === "boolean" ? "true or false" : `a ${expected}`;
}

function example(expected: string): string {
  if (expected === "object" || expected === "record") return "`key: value` lines";
  if (expected === "int" || expected === "number") return "digits only";
  if (expected === "array") return "one `- value` line for each";
  return expected === "boolean" ? "true or false" : "text";
}
