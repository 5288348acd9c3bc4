import { isIP } from "node:net";

/** What a resolv.conf says (resolv.conf(5)). */
export interface ResolvConf {
  readonly nameservers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

/** Reads a resolv.conf. Lines that make no sense are passed over, as the C library does. */
export function parseResolvConf(content: string): ResolvConf {
  const nameservers: string[] = [];
  let search: string[] = [];
  const options: string[] = [];
  for (const line of content.split("\n")) {
    const [keyword, ...values] = line.replace(/[#;].*$/, "").trim().split(/\s+/);
    const [first = ""] = values;
    if (keyword === "nameserver" && isIP(first.split("%")[0] ?? "") !== 0) nameservers.push(first);
    else if (keyword === "search" || keyword === "domain") search = values.filter((domain) => domain !== ".");
    else if (keyword === "options") options.push(...values);
  }
  return { nameservers, search, options };
}

/** A server dockerd forwards to, as Docker 25 and later write it into a container's resolv.conf. */
export interface ExternalServer {
  readonly ip: string;
  /** `host(…)`: dialled from dockerd's own network namespace. */
  readonly fromHost: boolean;
}

/** The `# ExtServers: [host(10.0.0.2) 8.8.8.8]` comment (facts 1.7); undefined when there is none. */
export function parseExternalServers(content: string): ExternalServer[] | undefined {
  const match = /^# ExtServers: \[(.*)\]$/m.exec(content);
  if (!match) return undefined;
  return match[1]!
    .split(/\s+/)
    .map((entry) => /^(host\()?([^()]+)\)?$/.exec(entry))
    .filter((entry) => entry !== null && isIP(entry[2]!) !== 0)
    .map((entry) => ({ ip: entry![2]!, fromHost: entry![1] !== undefined }));
}
