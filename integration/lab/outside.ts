import { runCommand, type CommandOptions, type CommandResult } from "./command.js";
import { HelperProcess } from "./helper-process.js";
import type { Namespaces } from "./namespaces.js";
import { Probe } from "./probe.js";
import { Upstream, type UpstreamOptions } from "./upstream.js";
import { Visitor } from "./visitor.js";

/** How an outside is joined to its host. */
export interface OutsideOptions {
  /** Needed when a host has several; at most 15 characters. */
  name?: string;
  /** The first three numbers of an IPv4 network of 24 bits; .1 is the host, .2 the outside. Default 10.77.0. */
  prefix?: string;
  /** Whether the host's default route goes here. Default true. */
  defaultRoute?: boolean;
}

const joinScript = `
name=$1 netns=$2 prefix=$3 route=$4
mkdir -p "\${netns%/*}"; touch "$netns"
unshare --net="$netns" true
inside() { nsenter --net="$netns" -- "$@"; }
ip link add name "$name" type veth peer name eth0 netns "$netns"
ip address add "$prefix.1/24" dev "$name"
ip link set dev "$name" up
inside ip link set lo up
inside ip link set eth0 up
inside ip address add "$prefix.2/24" dev eth0
inside ip route add default via "$prefix.1"
if [ "$route" = true ]; then ip route replace default via "$prefix.2"; fi
`;

/** The world beyond a host's default route: a network namespace where upstream servers and outside clients live. */
export class Outside {
  readonly #addresses: Set<string>;
  #probe: Probe | undefined;

  private constructor(
    private readonly namespaces: Namespaces,
    private readonly netns: string,
    private readonly prefix: string,
    private readonly name: string,
  ) {
    this.#addresses = new Set([this.address]);
  }

  /** Creates the namespace and joins it to the host. */
  static async create(namespaces: Namespaces, options: OutsideOptions = {}): Promise<Outside> {
    const { name = "outside", prefix = "10.77.0", defaultRoute = true } = options;
    const netns = `/run/host/netns/${name}`;
    await runCommand(namespaces.enter(["sh", "-ec", joinScript, "join", name, netns, prefix, String(defaultRoute)]));
    return new Outside(namespaces, namespaces.path(netns), prefix, name);
  }

  /** The outside's first address. */
  get address(): string {
    return `${this.prefix}.2`;
  }

  /** The host's address here. */
  get hostAddress(): string {
    return `${this.prefix}.1`;
  }

  /** Runs a program of the machine in the outside's network namespace. */
  exec(argv: readonly string[], options?: CommandOptions): Promise<CommandResult> {
    return runCommand(this.namespaces.enter(argv, this.netns), options);
  }

  /** Starts a helper program here. `file` is its path on the machine. */
  helper<Request, Reply>(file: string): HelperProcess<Request, Reply> {
    return new HelperProcess(this.namespaces.enter([process.execPath, file], this.netns));
  }

  /** Gives the outside one more address; IPv6 needs {@link joinIPv6} first. */
  async addAddress(address: string): Promise<void> {
    if (this.#addresses.has(address)) return;
    this.#addresses.add(address);
    const isIPv6 = address.includes(":");
    await this.exec([
      "ip",
      "address",
      "add",
      `${address}/${isIPv6 ? 64 : 24}`,
      "dev",
      "eth0",
      ...(isIPv6 ? ["nodad"] : []),
    ]);
  }

  /** Joins the host by IPv6 too: `prefix`::1 is the host, and forwards. The outside's address is its own to choose. */
  async joinIPv6(prefix: string): Promise<void> {
    const host = (...argv: string[]) => runCommand(this.namespaces.enter(argv));
    await host("ip", "address", "add", `${prefix}::1/64`, "dev", this.name, "nodad");
    await host("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1");
    await this.addAddress(`${prefix}::2`);
    await this.exec(["ip", "-6", "route", "add", "default", "via", `${prefix}::1`]);
  }

  /** Starts a DNS server here whose answers the test decides; adds its address if need be. */
  async dns(options: UpstreamOptions = {}): Promise<Upstream> {
    const { address = this.address, port = 53, niceness = 0 } = options;
    await this.addAddress(address);
    return Upstream.start(this.namespaces, this.netns, { address, port, niceness });
  }

  /** A client of published ports that comes from here. */
  visitor(): Visitor {
    return new Visitor((argv) => this.namespaces.enter(argv, this.netns));
  }

  /** A probe that asks from here; give it a server. */
  probe(): Probe {
    return (this.#probe ??= new Probe(this.namespaces, this.netns));
  }
}
