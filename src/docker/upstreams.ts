import { constants, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { isIP, isIPv4 } from "node:net";
import { parseExternalServers, parseResolvConf, type ExternalServer } from "../../dns/resolv-conf.js";
import type { Upstream } from "../../dns/protocol.js";
import { errorCode } from "../errors.js";
import type { Container } from "../inventory/types.js";

/** Docker uses no more (facts 1.2). */
const upstreamsAtMost = 3;
/** What Docker before 25 forwards to when the host's file names nobody. */
const defaultServers = ["8.8.8.8", "8.8.4.4"];
/** What is read of a resolv.conf, bytes; the container can make its own as large as it likes. */
const fileAtMost = 64 * 1024;
const watchEvery = 1000; // ms
const remembered = 1000; // ms a file's content is used again

/** What dockerd itself was told about DNS. */
export interface DaemonDns {
  readonly servers: readonly string[];
  readonly options: readonly string[];
}

/** From where upstreams are asked: from where Docker would, or from one namespace whatever Docker does. */
export type ForwardFrom = "docker" | Upstream["from"];

/** How a container's questions to the outside are treated. */
export interface OutsideDns {
  readonly upstreams: readonly Upstream[];
  readonly forwardSingleLabels: boolean;
  /** The container's search list, as Docker wrote it into its resolv.conf. */
  readonly search: readonly string[];
}

export interface DockerHostFiles {
  /** Where the resolv.conf of the network that is asked from can be read. */
  resolvConf(): string;
  /** Where a file that dockerd names can be read. */
  pathOf(file: string): string;
  /** dockerd's command line, and `/etc/docker/daemon.json` or what `--config-file` names. */
  daemonDns(): Promise<DaemonDns>;
  /** Major version of the engine; 0 while unknown. */
  engineMajor(): number;
  readonly forwardFrom: ForwardFrom;
}

/** Finds out whom dockerd's resolver would ask for a container, and from which namespace. */
export class Upstreams {
  readonly #files = new Map<string, { readonly at: number; readonly content: Promise<string> }>();

  constructor(private readonly host: DockerHostFiles) {}

  async of(container: Container): Promise<OutsideDns> {
    const [own, hostFile, daemon] = await Promise.all([this.#read(container.resolvConfPath === "" ? "" : this.host.pathOf(container.resolvConfPath)), this.#read(this.host.resolvConf()), this.host.daemonDns()]);
    const parsed = parseResolvConf(hostFile);
    const rule: DialRule = { engineMajor: this.host.engineMajor(), forwardFrom: this.host.forwardFrom };
    // A container can rewrite its own file; it must not choose what is asked from the host's namespace.
    const external = rule.engineMajor >= 25 && rule.forwardFrom !== "host" ? parseExternalServers(own) : undefined;
    const upstreams = external ? statedUpstreams(external, parsed.nameservers, rule) : chooseUpstreams(container.dns.servers, daemon.servers, parsed.nameservers, rule);
    const options = container.dns.options.length > 0 ? container.dns.options : daemon.options.length > 0 ? daemon.options : parsed.options;
    return { upstreams: upstreams.slice(0, upstreamsAtMost), forwardSingleLabels: !options.some((option) => option.startsWith("ndots:")), search: parseResolvConf(own).search };
  }

  /**
   * Calls `onChange` when the host's file has changed, also when it is a link to one that did (VPN, DHCP).
   * @returns stops watching
   */
  watch(onChange: () => void): () => void {
    let before = this.#stateOfHostFile();
    const timer = setInterval(() => {
      const now = this.#stateOfHostFile();
      if (now === before) return;
      before = now;
      this.#files.clear();
      onChange();
    }, watchEvery);
    return () => clearInterval(timer);
  }

  /** What tells one version of the file from another, wherever it is read at the moment. */
  #stateOfHostFile(): string {
    const stat = statSync(this.host.resolvConf(), { throwIfNoEntry: false });
    return stat ? `${stat.ino} ${stat.mtimeMs}` : "none";
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

/** What decides from where an upstream is asked. */
export interface DialRule {
  readonly engineMajor: number;
  readonly forwardFrom: ForwardFrom;
}

/**
 * What Docker 25 and later wrote into the container's file. The file is the container's to change: it may choose its own
 * servers, but what is asked from the host's namespace is what the host's file says, now.
 */
export function statedUpstreams(external: readonly ExternalServer[], hostFile: readonly string[], rule: DialRule): Upstream[] {
  const fromHost = external.some((server) => server.fromHost) ? chooseUpstreams([], [], hostFile, rule) : [];
  return [...fromHost, ...external.filter((server) => !server.fromHost).map(({ ip }) => upstream(ip, "container", { ...rule, forwardFrom: "docker" }))];
}

/**
 * Docker's choice when it does not say (before 25): the container's `--dns`, else dockerd's, else the host's file.
 * A loopback server of the host's file is asked from the host's namespace, every other from the container's (facts 1.8).
 */
export function chooseUpstreams(container: readonly string[], daemon: readonly string[], hostFile: readonly string[], rule: DialRule): Upstream[] {
  const { engineMajor } = rule;
  const configured = container.length > 0 ? container : daemon;
  if (configured.length > 0) return configured.filter((ip) => isIP(ip) !== 0).map((ip) => upstream(ip, "container", rule));
  hostFile = hostFile.filter((ip) => !ip.includes("%")); // a link-local server means nothing without its interface
  const usable = engineMajor >= 26 ? hostFile : hostFile.filter((ip) => isIPv4(ip));
  const servers = usable.length === 0 && engineMajor < 25 ? defaultServers : usable;
  return servers.map((ip) => upstream(ip, engineMajor >= 28 || isLoopback(ip) || !isIPv4(ip) ? "host" : "container", rule));
}

/** @param dockers from where Docker would ask; a loopback address means a server of just that namespace, so nothing overrides it */
function upstream(ip: string, dockers: Upstream["from"], { forwardFrom }: DialRule): Upstream {
  return { ip, port: 53, from: forwardFrom === "docker" || isLoopback(ip) ? dockers : forwardFrom };
}

function isLoopback(ip: string): boolean {
  return /^(127\.|0\.0\.0\.0$|::1?$)/.test(ip); // the unspecified address leads to the loopback one
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(fileAtMost), 0, fileAtMost, 0);
      return buffer.toString("utf8", 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    // Gone with its container, or never there: then Docker's other rules apply.
    if (errorCode(error) === "ENOENT" || errorCode(error) === "EACCES") return "";
    throw error;
  }
}
