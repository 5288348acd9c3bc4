import { runCommand, type CommandOptions, type CommandResult } from "./command.js";
import type { TestOwner } from "./docker-host.js";
import { Namespaces } from "./namespaces.js";

/** Where a host or a server is on an underlay. */
export interface Uplink {
  /** 1 to 254, unique on the underlay. */
  readonly number: number;
  readonly underlay: Underlay;
  /** In the prefix 10.99.0.0/24. */
  readonly address: string;
  /** In the prefix fd00:99::/64. */
  readonly address6: string;
}

/** A server on an underlay: a network namespace of its own, all else shared with the underlay's other servers. */
export interface Server {
  readonly uplink: Uplink;
  /** The command line that runs `argv` there. */
  enter(argv: readonly string[]): string[];
}

/** The interface of a host that leads to the underlay. */
export const uplinkInterface = "uplink";

/** Where drops are decided: a table of the bridge family has no flows, so a cut meets those that exist as well. */
const switchScript = `
ip link add name switch mtu 1500 type bridge mcast_snooping 0
ip link set switch up
nft -f - <<'END'
table bridge cuts {
  set pairs { type ifname . ifname; }
  chain forward {
    type filter hook forward priority 0; policy accept;
    iifname . oifname @pairs drop
  }
}
END
`;

/**
 * The network that joins several hosts: one switch in a namespace of its own, with cables that can be cut. Neither end
 * of a cut cable sees anything but silence: no link goes down. It ends with the test.
 */
export class Underlay {
  private constructor(private readonly namespaces: Namespaces) {}

  /** Starts an underlay that ends with the test `owner`. */
  static async start(owner: TestOwner): Promise<Underlay> {
    const namespaces = await Namespaces.create();
    owner.teardown(() => namespaces.close());
    await runCommand(namespaces.enter(["sh", "-ec", switchScript]));
    return new Underlay(namespaces);
  }

  /** A place on the underlay; hosts are started with it, which joins them before anything runs there. */
  uplink(number: number): Uplink {
    return { number, underlay: this, address: `10.99.0.${number}`, address6: `fd00:99::${number}` };
  }

  /** Joins a host. An MTU of 1,500 bytes; IPv6 addresses are usable at once. */
  async join(host: Namespaces, uplink: Uplink): Promise<void> {
    await this.#plug(uplink, String(host.pid));
    await runCommand(host.enter(["sh", "-ec", addressScript, "address", uplink.address, uplink.address6]));
  }

  /** Makes a network namespace for a server and joins it. */
  async server(number: number): Promise<Server> {
    const uplink = this.uplink(number);
    const netns = `/run/host/netns/${number}`;
    const make = `mkdir -p "\${1%/*}"; touch "$1"; unshare --net="$1" true; nsenter --net="$1" ip link set lo up`;
    await this.exec(["sh", "-ec", make, "make", netns]);
    await this.#plug(uplink, netns);
    const enter = (argv: readonly string[]) => this.namespaces.enter(argv, this.namespaces.path(netns));
    await runCommand(enter(["sh", "-ec", addressScript, "address", uplink.address, uplink.address6]));
    return { uplink, enter };
  }

  /** Drops what goes between two, or only what goes from the first to the second: ARP, IPv4 and IPv6 alike. */
  async cut(one: Uplink, other: Uplink, options: { oneWay?: boolean } = {}): Promise<void> {
    await this.#changePairs("add", one, other, options.oneWay ?? false);
  }

  /** Undoes what {@link cut} with the same arguments did. */
  async heal(one: Uplink, other: Uplink, options: { oneWay?: boolean } = {}): Promise<void> {
    await this.#changePairs("delete", one, other, options.oneWay ?? false);
  }

  /** Undoes every cut. */
  async healAll(): Promise<void> {
    await this.exec(["nft", "flush", "set", "bridge", "cuts", "pairs"]);
  }

  /** Runs a program of the machine at the switch: `tcpdump -i port1`, `nft list ruleset`. */
  exec(argv: readonly string[], options?: CommandOptions): Promise<CommandResult> {
    return runCommand(this.namespaces.enter(argv), options);
  }

  /** Sends a signal to a process of a server, named by its number inside. */
  signal(signal: NodeJS.Signals, ...pids: number[]): Promise<void> {
    return this.namespaces.signal(signal, ...pids);
  }

  /** `netns` as ip has it: a process, by the machine's number, or a file of the switch. */
  async #plug(uplink: Uplink, netns: string): Promise<void> {
    // Only the network and mount namespaces are entered: a host's init is named by the machine's number for it.
    const name = portOf(uplink);
    const create = ["ip", "link", "add", "name", name, "mtu", "1500", "type", "veth"];
    const peer = ["peer", "name", uplinkInterface, "mtu", "1500", "netns", netns];
    const { pid } = this.namespaces;
    const enter = ["nsenter", `--target=${pid}`, "--net", ...(netns.startsWith("/") ? ["--mount"] : []), "--"];
    await runCommand([...enter, ...create, ...peer]);
    await this.exec(["ip", "link", "set", name, "master", "switch", "up"]);
  }

  async #changePairs(verb: "add" | "delete", one: Uplink, other: Uplink, oneWay: boolean): Promise<void> {
    const pair = (from: Uplink, to: Uplink) => `${portOf(from)} . ${portOf(to)}`;
    const pairs = oneWay ? [pair(one, other)] : [pair(one, other), pair(other, one)];
    await this.exec(["nft", verb, "element", "bridge", "cuts", "pairs", `{ ${pairs.join(", ")} }`]);
  }
}

const addressScript = `
ip address add "$1/24" dev ${uplinkInterface}
ip address add "$2/64" dev ${uplinkInterface} nodad
ip link set ${uplinkInterface} up
`;

/** The switch's end of a cable. */
function portOf({ number }: Uplink): string {
  return `port${number}`;
}
