import { deleteForwarding, forwardingOf, putForwarding } from "../linux/netlink/rtnetlink/forwarding-entries.js";
import { linkNamed } from "../linux/netlink/rtnetlink/links.js";
import { deleteNeighbour, neighboursOf, putNeighbour } from "../linux/netlink/rtnetlink/neighbours.js";
import type { Rtnetlink, RtRequest } from "../linux/netlink/rtnetlink/rtnetlink.js";
import type { NetlinkError } from "../linux/netlink/nfnetlink.js";
import { entrySteps, NeighbourTable, type EntryStep, type NeighbourEntries } from "./plan/neighbour-table.js";
import type { Failure } from "./protocol.js";
import type { NeighbourChange, WantedNetwork, WantedOverlay } from "./wanted.js";

interface Written {
  readonly failures: Failure[];
  /** How many entries. */
  readonly steps: number;
}

interface Ports {
  readonly bridge: number;
  readonly vxlan: number;
  /** Of an encrypted network: the link that it goes by, on which addresses of hosts are. */
  readonly tunnel: number | undefined;
}

type Overlay = WantedNetwork & { readonly overlay: WantedOverlay };

/**
 * Knows endpoints of overlay networks that are on other hosts, and has the kernel know them. What is said of a network whose links
 * are not there is kept, and written when it is made.
 */
export class Overlays {
  readonly #tables = new Map<string, NeighbourTable>();

  /**
   * @param host rtnetlink of the host's namespace
   * @param onStep called before entries are written
   */
  constructor(
    private readonly host: Rtnetlink,
    private readonly onStep: () => void,
  ) {}

  /** Addresses of other hosts that endpoints of a network are on. */
  peersOf(network: string): readonly string[] {
    return [...(this.#tables.get(network)?.hosts ?? [])];
  }

  /** Writes what changes, and nothing else. */
  change(changes: readonly NeighbourChange[], networks: ReadonlyMap<string, WantedNetwork>): Written {
    return all(
      changes.map((change) => {
        const steps = this.#tableOf(change.network).change(change);
        const network = networks.get(change.network);
        if (!network || !hasOverlay(network)) return none;
        if (change.isAll) return this.mend([network]); // the kernel may have them, from an earlier process
        const ports = this.#portsOf(network);
        return ports ? this.#write(network.id, ports, steps) : none;
      }),
    );
  }

  /** Compares what the kernel has for these networks with what is wanted, and writes the differences. */
  mend(networks: Iterable<WantedNetwork>): Written {
    return all(
      [...networks].filter(hasOverlay).map((network) => {
        const ports = this.#portsOf(network);
        if (!ports) return none;
        return this.#write(network.id, ports, entrySteps(this.#tableOf(network.id).entries, this.#look(ports)));
      }),
    );
  }

  /** They are not wanted any more. */
  forget(networks: readonly string[]): void {
    for (const id of networks) this.#tables.delete(id);
  }

  #tableOf(network: string): NeighbourTable {
    const table = this.#tables.get(network) ?? new NeighbourTable();
    this.#tables.set(network, table);
    return table;
  }

  #portsOf({ bridge, overlay }: Overlay): Ports | undefined {
    const [own, link] = [linkNamed(this.host, bridge), linkNamed(this.host, overlay.link)];
    if (!own || link?.master !== own.index) return undefined;
    return { bridge: own.index, vxlan: link.index, tunnel: overlay.isEncrypted && link.vxlan?.by };
  }

  #look({ bridge, vxlan, tunnel }: Ports): NeighbourEntries {
    const hosts = new Map<string, string | undefined>();
    const ports = new Set<string>();
    for (const entry of forwardingOf(this.host, vxlan))
      if (entry.table === "link") hosts.set(entry.mac, entry.by === tunnel ? entry.host : undefined);
      else ports.add(entry.mac);
    // Somebody may have said of the bridge who else is on it.
    const ours = neighboursOf(this.host, bridge).filter(({ isOurs }) => isOurs);
    return { hosts, ports, macs: new Map(ours.map(({ ip, mac }) => [ip, mac])) };
  }

  #write(id: string, ports: Ports, steps: readonly EntryStep[]): Written {
    if (steps.length === 0) return none;
    this.onStep();
    const failed: { readonly error: NetlinkError }[] = [];
    for (let start = 0; start < steps.length; start += atOnce) {
      const some = steps.slice(start, start + atOnce).filter((step) => !wouldLeak(step, ports));
      const requests = some.map((step) => requestOf(step, ports));
      failed.push(...this.host.requestEach(requests).filter(({ error }) => !goneAlready.includes(error.code)));
    }
    return { failures: failed.length > 0 ? [failureOf(id, failed)] : [], steps: steps.length };
  }
}

/** Requests that are in memory together. */
const atOnce = 256;
const none: Written = { failures: [], steps: 0 };
/** The link may have been taken away meanwhile, of which news tell. */
const goneAlready: readonly string[] = ["ENOENT", "ENODEV"];

function hasOverlay(network: WantedNetwork): network is Overlay {
  return network.overlay !== undefined;
}

/** To an address that is not link-local the kernel may send by another link than the tunnel. */
function wouldLeak(step: EntryStep, { tunnel }: Ports): boolean {
  return tunnel !== undefined && step.kind === "put-forwarding" && !step.host.startsWith("fe80:");
}

function requestOf(step: EntryStep, { bridge, vxlan, tunnel }: Ports): RtRequest {
  switch (step.kind) {
    case "put-forwarding":
      return putForwarding(vxlan, step.mac, step.host, tunnel);
    case "delete-forwarding":
      return deleteForwarding(vxlan, step.table, step.mac);
    case "put-neighbour":
      return putNeighbour(bridge, step.ip, step.mac);
    case "delete-neighbour":
      return deleteNeighbour(bridge, step.ip);
  }
}

function failureOf(id: string, failed: readonly { readonly error: NetlinkError }[]): Failure {
  const { code, message } = failed[0]!.error;
  return {
    object: { kind: "network", id },
    code,
    subject: id,
    message: `${failed.length} entries for endpoints on other hosts could not be written, they are tried again later: ${message}`,
  };
}

function all(written: readonly Written[]): Written {
  return {
    failures: written.flatMap(({ failures }) => failures),
    steps: written.reduce((sum, { steps }) => sum + steps, 0),
  };
}
