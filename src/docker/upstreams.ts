import { readFile } from "node:fs/promises";
import { isIPv4 } from "node:net";
import { parseExternalServers, parseResolvConf } from "../../dns/resolv-conf.js";
import type { Upstream } from "../../dns/protocol.js";
import { errorCode } from "../errors.js";
import type { Container } from "../inventory/types.js";

/** Docker uses no more (facts 1.2). */
const upstreamsAtMost = 3;
/** What Docker before 25 forwards to when the host's file names nobody. */
const defaultServers = ["8.8.8.8", "8.8.4.4"];
const remembered = 1000; // ms a file's content is used again

/** What dockerd itself was told about DNS. */
export interface DaemonDns {
  readonly servers: readonly string[];
  readonly options: readonly string[];
}

/** How a container's questions to the outside are treated. */
export interface OutsideDns {
  readonly upstreams: readonly Upstream[];
  readonly forwardSingleLabels: boolean;
}

export interface DockerHostFiles {
  /** `/etc/resolv.conf` as dockerd sees it. */
  readonly resolvConf: string;
  /** dockerd's command line, and `/etc/docker/daemon.json` or what `--config-file` names. */
  daemonDns(): Promise<DaemonDns>;
  /** Major version of the engine; 0 while unknown. */
  engineMajor(): number;
}

/** Finds out whom dockerd's resolver would ask for a container, and from which namespace. */
export class Upstreams {
  readonly #files = new Map<string, { readonly at: number; readonly content: Promise<string> }>();

  constructor(private readonly host: DockerHostFiles) {}

  async of(container: Container): Promise<OutsideDns> {
    const [own, hostFile, daemon] = await Promise.all([this.#read(container.resolvConfPath), this.#read(this.host.resolvConf), this.host.daemonDns()]);
    const parsed = parseResolvConf(hostFile);
    const external = parseExternalServers(own);
    const upstreams = external
      ? external.map(({ ip, fromHost }) => upstream(ip, fromHost ? "host" : "container"))
      : chooseUpstreams(container.dns.servers, daemon.servers, parsed.nameservers, this.host.engineMajor());
    const options = container.dns.options.length > 0 ? container.dns.options : daemon.options.length > 0 ? daemon.options : parsed.options;
    return { upstreams: upstreams.slice(0, upstreamsAtMost), forwardSingleLabels: !options.some((option) => option.startsWith("ndots:")) };
  }

  async #read(path: string): Promise<string> {
    if (path === "") return "";
    const known = this.#files.get(path);
    if (known && Date.now() - known.at < remembered) return known.content;
    if (this.#files.size > 256) this.#files.clear();
    const content = readOrEmpty(path);
    this.#files.set(path, { at: Date.now(), content });
    return content;
  }
}

/**
 * Docker's choice when it does not say (before 25): the container's `--dns`, else dockerd's, else the host's file.
 * A loopback server of the host's file is asked from the host's namespace, every other from the container's (facts 1.8).
 */
export function chooseUpstreams(container: readonly string[], daemon: readonly string[], hostFile: readonly string[], engineMajor: number): Upstream[] {
  const configured = container.length > 0 ? container : daemon;
  if (configured.length > 0) return configured.map((ip) => upstream(ip, "container"));
  hostFile = hostFile.filter((ip) => !ip.includes("%")); // a link-local server means nothing without its interface
  const usable = engineMajor >= 26 ? hostFile : hostFile.filter((ip) => isIPv4(ip));
  const servers = usable.length === 0 && engineMajor < 25 ? defaultServers : usable;
  return servers.map((ip) => upstream(ip, engineMajor >= 28 || ip.startsWith("127.") || !isIPv4(ip) ? "host" : "container"));
}

function upstream(ip: string, from: Upstream["from"]): Upstream {
  return { ip, port: 53, from };
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    // Gone with its container, or never there: then Docker's other rules apply.
    if (errorCode(error) === "ENOENT" || errorCode(error) === "EACCES") return "";
    throw error;
  }
}
