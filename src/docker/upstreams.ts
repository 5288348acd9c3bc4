import { statSync } from "node:fs";
import { isIP } from "node:net";
import { LRUCache } from "lru-cache";
import { familyOf, leadsToLoopback } from "../../common/address.js";
import { parseExternalServers, parseResolvConf, type ExternalServer, type ResolvConf } from "./resolv-conf.js";
import type { Upstream } from "../../dns/protocol.js";
import { describeError, errorCode } from "../../common/errors.js";
import { readRegularFile, type Opening } from "../../common/files.js";
import type { Container } from "../inventory/types.js";

/** Docker uses no more (`maxExtDNS` in libnetwork's resolver). */
const upstreamsAtMost = 3;
/** What Docker before 25 forwards to when the host's file names nobody. */
const defaultServers = ["8.8.8.8", "8.8.4.4"];
/** What is read of a resolv.conf, bytes; the container can make its own as large as it likes. */
const fileAtMost = 64 * 1024;
const watchEvery = 1000; // ms
const remembered = 1000; // ms a file's content is used again
const filesAtMost = 256; // that are remembered

/** What dockerd itself was told about DNS. */
export interface DaemonDns {
  readonly servers: readonly string[];
  readonly options: readonly string[];
}

/** From where upstreams are asked: from where Docker would, or from one namespace whatever Docker does. */
export type ForwardFrom = "docker" | Upstream["from"];

/** How a container's questions to the outside are treated. */
export interface ForwardingSettings {
  readonly upstreams: readonly Upstream[];
  readonly forwardSingleLabels: boolean;
  /** The container's search list, as Docker wrote it into its resolv.conf. */
  readonly search: readonly string[];
}

export interface DockerHostFiles {
  /** Where the resolv.conf of the network that is asked from can be read. */
  resolvConf(): string;
  /** Where a file that dockerd names can be read. */
  pathOf(file: string, opening: Opening): string;
  /** Told once of a file that is passed over, and why. */
  onUnfit(file: string, reason: string): void;
  /** dockerd's command line, and `/etc/docker/daemon.json` or what `--config-file` names. */
  daemonDns(): Promise<DaemonDns>;
  /** Major version of the engine; 0 while it is not followed. */
  engineMajor(): number;
  /** The number of an interface of the network that is asked from; undefined when there is none of that name. */
  interfaceNumber(name: string): number | undefined;
  forwardFrom(): ForwardFrom;
}

/** What a resolv.conf says, to pontoon. */
interface Said extends ResolvConf {
  readonly external: readonly ExternalServer[] | undefined;
}

const nothing: Said = { nameservers: [], search: [], options: [], external: undefined };

/** Finds out which servers are asked for a container, and from which namespace: for one of Docker's, those that dockerd's resolver would ask. */
export class Upstreams {
  readonly #files = new LRUCache<string, Promise<Said>>({ max: filesAtMost, ttl: remembered });

  /** Why, by file. */
  readonly #unfit = new LRUCache<string, string>({ max: filesAtMost });
  /** Servers the host's file named when it last named any. */
  #hostServers: readonly string[] = [];
  /** As last known. */
  #engineMajor = 0;

  constructor(private readonly host: DockerHostFiles) {}

  of(container: Container): Promise<ForwardingSettings> {
    return container.source === "docker" ? this.#ofContainer(container) : this.#ofSandbox(container);
  }

  /** An own sandbox has what it was made with, and else what the host has, asked from where the host asks. */
  async #ofSandbox({ dns }: Container): Promise<ForwardingSettings> {
    const parsed = await this.#read(this.host.resolvConf(), { followLink: true });
    const upstreams = sandboxUpstreams(dns.servers, this.#serversOfHost(parsed), this.host.forwardFrom());
    const options = dns.options.length > 0 ? dns.options : parsed.options;
    const search = dns.search.length > 0 ? dns.search : parsed.search;
    return {
      upstreams: upstreams.slice(0, upstreamsAtMost),
      forwardSingleLabels: !options.some((option) => option.startsWith("ndots:")),
      search: search.filter((domain) => domain !== "."),
    };
  }

  async #ofContainer(container: Container): Promise<ForwardingSettings> {
    const [own, parsed, daemon] = await Promise.all([
      this.#ownFile(container),
      this.#read(this.host.resolvConf(), { followLink: true }),
      this.host.daemonDns(),
    ]);
    this.#engineMajor = this.host.engineMajor() || this.#engineMajor;
    const rule: DialRule = { engineMajor: this.#engineMajor, forwardFrom: this.host.forwardFrom() };
    const hostServers = this.#serversOfHost(parsed);
    // A container can rewrite its own file; it must not choose what is asked from the host's namespace.
    const external = rule.engineMajor >= 25 && rule.forwardFrom !== "host" ? own.external : undefined;
    const upstreams = external
      ? statedUpstreams(external, hostServers, rule)
      : chooseUpstreams(container.dns.servers, daemon.servers, hostServers, rule);
    const options =
      container.dns.options.length > 0
        ? container.dns.options
        : daemon.options.length > 0
          ? daemon.options
          : parsed.options;
    return {
      upstreams: upstreams.slice(0, upstreamsAtMost),
      forwardSingleLabels: !options.some((option) => option.startsWith("ndots:")),
      search: own.search,
    };
  }

  /**
   * The servers that the host's file names, those on a link with the number of its interface in place of the name. While the file names
   * none, since it is being written or is a link to a file that is not there yet, they are those it named before: a running container
   * keeps its servers with Docker, too.
   */
  #serversOfHost({ nameservers }: Said): readonly string[] {
    const servers = nameservers.flatMap((ip) => {
      const [address = "", zone] = ip.split("%");
      if (zone === undefined) return [ip];
      const number = this.host.interfaceNumber(zone);
      return number === undefined ? [] : [`${address}%${number}`];
    });
    if (servers.length > 0) this.#hostServers = servers;
    return this.#hostServers;
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

  /** By which one version of the file is told from another, wherever it is read at the moment. */
  #stateOfHostFile(): string {
    try {
      const { ino, mtimeMs } = statSync(this.host.resolvConf());
      return `${ino} ${mtimeMs}`;
    } catch (error) {
      return errorCode(error) ?? "none";
    }
  }

  /** With a user's own file mounted at /etc/resolv.conf, that is the path Docker tells, and it may be a link, as the host's often is. */
  async #ownFile({ id, resolvConfPath }: Container): Promise<Said> {
    if (resolvConfPath === "") return nothing;
    const opening = { followLink: !resolvConfPath.endsWith(`/${id}/resolv.conf`) };
    return this.#read(this.host.pathOf(resolvConfPath, opening), opening);
  }

  async #read(path: string, opening: Opening): Promise<Said> {
    const known = this.#files.get(path);
    if (known) return known;
    const said = this.#readAnew(path, opening);
    this.#files.set(path, said);
    return said;
  }

  /** A file that cannot be read counts as empty: then Docker's other rules apply. */
  async #readAnew(path: string, opening: Opening): Promise<Said> {
    try {
      const { text, isWhole } = await readRegularFile(path, fileAtMost, opening);
      const lines = isWhole ? text : text.slice(0, text.lastIndexOf("\n") + 1); // no line that is cut in two
      return { ...parseResolvConf(lines), external: parseExternalServers(lines) };
    } catch (error) {
      // Gone with its container, or never there.
      if (errorCode(error) !== "ENOENT" && errorCode(error) !== "EACCES") this.#passOver(path, describeError(error));
      return nothing;
    }
  }

  #passOver(path: string, reason: string): void {
    if (this.#unfit.get(path) === reason) return;
    this.#unfit.set(path, reason);
    this.host.onUnfit(path, reason);
  }
}

/** What decides from where an upstream is asked. */
export interface DialRule {
  readonly engineMajor: number;
  readonly forwardFrom: ForwardFrom;
}

/**
 * What Docker 25 and later wrote into the container's file, in its order. The file is the container's to change: it may choose its own
 * servers, but what is asked from the host's namespace is what the host's file says, now: all of it, where the first such entry stands.
 */
export function statedUpstreams(
  external: readonly ExternalServer[],
  hostFile: readonly string[],
  rule: DialRule,
): Upstream[] {
  const asDocker: DialRule = { ...rule, forwardFrom: "docker" };
  const first = external.findIndex((server) => server.fromHost);
  return external.flatMap(({ ip, fromHost }, index) => {
    if (!fromHost) return [upstream(ip, "container", asDocker)];
    if (index !== first) return [];
    return chooseUpstreams([], [], hostFile, asDocker).flatMap((server) =>
      server.from === "host" ? [upstream(server.ip, "host", rule)] : [],
    );
  });
}

/**
 * Docker's choice when it does not say (before 25): the container's `--dns`, else dockerd's, else the host's file.
 * A loopback server of the host's file is asked from the host's namespace, every other from the container's, as libnetwork does.
 */
export function chooseUpstreams(
  container: readonly string[],
  daemon: readonly string[],
  hostFile: readonly string[],
  rule: DialRule,
): Upstream[] {
  const { engineMajor } = rule;
  const configured = container.length > 0 ? container : daemon;
  if (configured.length > 0)
    return configured.filter((ip) => isIP(ip) !== 0).map((ip) => upstream(ip, "container", rule));
  const usable = engineMajor >= 26 ? hostFile : hostFile.filter((ip) => familyOf(ip) === "ipv4");
  const servers = usable.length === 0 && engineMajor < 25 ? defaultServers : usable;
  return servers.map((ip) =>
    upstream(ip, engineMajor >= 28 || leadsToLoopback(ip) || familyOf(ip) === "ipv6" ? "host" : "container", rule),
  );
}

/** Servers of an own sandbox's settings, asked from inside it; without any those of the host's file, asked from the host. */
export function sandboxUpstreams(
  own: readonly string[],
  hostFile: readonly string[],
  forwardFrom: ForwardFrom,
): Upstream[] {
  const rule: DialRule = { engineMajor: 0, forwardFrom };
  const usual = own.length > 0 ? "container" : "host";
  return (own.length > 0 ? own.filter((ip) => isIP(ip) !== 0) : hostFile).map((ip) => upstream(ip, usual, rule));
}

/**
 * @param dockers from where Docker would ask; a loopback address, or one on a link, means a server of just that namespace, so
 * nothing overrides it
 */
function upstream(ip: string, dockers: Upstream["from"], { forwardFrom }: DialRule): Upstream {
  return {
    ip,
    port: 53,
    from: forwardFrom === "docker" || leadsToLoopback(ip) || ip.includes("%") ? dockers : forwardFrom,
  };
}
