import { errorCode, PontoonError } from "../common/errors.js";
import { addAddress, addressesOf, deleteAddress } from "../linux/netlink/rtnetlink/addresses.js";
import type { LinkNewsItem } from "../linux/netlink/rtnetlink/link-news.js";
import { changeLink, deleteLink, linkNamed, newWireguard, type Link } from "../linux/netlink/rtnetlink/links.js";
import type { Rtnetlink } from "../linux/netlink/rtnetlink/rtnetlink.js";
import { ignoreRouters, ownAddressesOnly, setIPv6 } from "../linux/network-settings.js";
import { makeTun } from "../linux/tun.js";
import type { WireguardDevice } from "../linux/wireguard/device.js";
import { KernelDevice } from "../linux/wireguard/kernel-device.js";
import { ProgramDevice, startWireguardProgram } from "../linux/wireguard/program-device.js";
import { failureOf } from "./outcomes.js";
import {
  isOurTunnel,
  planTunnel,
  tunnelChanges,
  tunnelMtu,
  tunnelPrefix,
  type SeenTunnel,
  type TunnelStep,
} from "./plan/tunnel-plan.js";
import type { Failure } from "./protocol.js";
import { aliasOf, tunnelLink, type TunnelPeer, type WantedNetwork, type WantedTunnel } from "./wanted.js";

interface Done {
  readonly failures: Failure[];
  readonly steps: number;
}

const object = { kind: "tunnel", id: tunnelLink } as const;

/** The WireGuard link by which encrypted networks get to other hosts: made for the first of them, and deleted with the last. */
export class Tunnel {
  #wanted: WantedTunnel | undefined;
  /** As they were set last. */
  #peers: readonly TunnelPeer[] = [];
  #isNeeded = false;

  /**
   * @param host rtnetlink of the host's namespace
   * @param onStep called before each step
   */
  constructor(
    private readonly host: Rtnetlink,
    private readonly onStep: () => void,
  ) {}

  /** @param wanted undefined: encrypted networks get nowhere */
  want(wanted: WantedTunnel | undefined): void {
    this.#wanted = wanted;
  }

  /** Of UDP, and where other hosts are on the underlay, while there is a link. */
  get ways(): { readonly port: number; readonly hosts: readonly string[] } | undefined {
    if (!this.#isNeeded || !this.#wanted) return undefined;
    const { port, peers } = this.#wanted;
    return { port, hosts: [...new Set(peers.map(({ host }) => host))] };
  }

  /** Makes the link if a network needs it, and mends it. Does nothing that is done already, and deletes nothing that is in use. */
  bringAbout(networks: Iterable<WantedNetwork>): Done {
    const mtu = tunnelMtu(networks);
    this.#isNeeded = mtu !== undefined;
    if (mtu === undefined || !this.#wanted) return none;
    const wanted = this.#wanted;
    return this.#attempt(() => this.#mend(wanted, mtu));
  }

  /** Deletes the link when no network needs it any more: to be called when their own links are gone. */
  tidy(networks: Iterable<WantedNetwork>): Done {
    this.#isNeeded = tunnelMtu(networks) !== undefined;
    if (this.#isNeeded && this.#wanted) return none;
    const link = linkNamed(this.host, tunnelLink);
    if (!link || !isOurTunnel(link)) return none;
    return this.#attempt(() => {
      this.onStep();
      this.host.request(deleteLink(tunnelLink));
      return 1;
    });
  }

  /** Whether news of links is about it. */
  isAbout(item: LinkNewsItem): boolean {
    if (!this.#isNeeded || item.kind === "address-gone" || item.name !== tunnelLink) return false;
    return item.kind === "link-gone" || !item.isUp || item.hasCarrier === false;
  }

  #attempt(work: () => number): Done {
    try {
      return { failures: [], steps: work() };
    } catch (error) {
      return { failures: [failureOf(object, this.#explained(error))], steps: 0 };
    }
  }

  /** @returns how many steps it took */
  #mend(wanted: WantedTunnel, mtu: number): number {
    const steps = planTunnel(wanted, mtu, this.#look(wanted));
    for (const step of steps) this.#do(step, wanted, mtu);
    return steps.length + this.#configure(wanted);
  }

  #look(wanted: WantedTunnel): SeenTunnel {
    const link = linkNamed(this.host, tunnelLink);
    if (!link) return { link, addresses: [], state: undefined };
    const addresses = addressesOf(this.host).filter(({ index }) => index === link.index);
    return { link, addresses, state: withDevice(wanted, (device) => device.read()) };
  }

  #do(step: TunnelStep, wanted: WantedTunnel, mtu: number): void {
    this.onStep();
    switch (step) {
      case "delete":
        return this.host.request(deleteLink(tunnelLink));
      case "make":
        return this.#make(wanted);
      case "start":
        return start(wanted);
      case "set":
        return this.#set(wanted, mtu);
    }
  }

  #make({ by }: WantedTunnel): void {
    this.#peers = [];
    if (by === "kernel") return this.host.request(newWireguard({ name: tunnelLink }));
    // An ioctl would take a link that is there for what is wanted.
    if (linkNamed(this.host, tunnelLink)) throw taken();
    makeTun(tunnelLink);
  }

  #set({ address }: WantedTunnel, mtu: number): void {
    setIPv6(tunnelLink, true);
    ownAddressesOnly(tunnelLink);
    ignoreRouters(tunnelLink);
    const { index } = this.#link();
    const left = addressesOf(this.host).filter((each) => each.index === index && each.ip !== address);
    this.host.request(
      changeLink(index, { alias: aliasOf.tunnel, mtu }),
      ...left.map((each) => deleteAddress(index, each)),
      changeLink(index, { isUp: true }),
      addAddress(index, { ip: address, prefix: tunnelPrefix }),
    );
  }

  #link(): Link {
    const link = linkNamed(this.host, tunnelLink);
    if (link) return link;
    throw new PontoonError("NO_LINK", tunnelLink, `there is no link ${tunnelLink} on this host`);
  }

  #configure(wanted: WantedTunnel): number {
    return withDevice(wanted, (device) => {
      const state = device.read();
      if (!state) throw silent(wanted);
      const changes = tunnelChanges(wanted, state, this.#peers);
      this.#peers = wanted.peers;
      if (!changes) return 0;
      this.onStep();
      device.write(changes);
      return 1;
    });
  }

  #explained(error: unknown): unknown {
    const options = { cause: error };
    const port = this.#wanted?.port ?? 0;
    switch (errorCode(error)) {
      case "EEXIST":
        return taken();
      case "ENOTSUP":
        if (linkNamed(this.host, tunnelLink))
          return failed("this host has no IPv6, of which addresses in the tunnel are", options);
        return new PontoonError(
          "ENCRYPTION_MISSING",
          tunnelLink,
          "this kernel has no WireGuard; load its module wireguard, or name a wireguard-go with wireguard.use in the configuration",
          options,
        );
      case "EADDRINUSE":
        return new PontoonError(
          "WIREGUARD_PORT_TAKEN",
          String(port),
          `UDP port ${port} of this host, at which WireGuard is to be reached, is in use; free it, or name another with wireguard.port`,
          options,
        );
      default:
        return error;
    }
  }
}

const none: Done = { failures: [], steps: 0 };

function withDevice<Result>({ by }: Pick<WantedTunnel, "by">, work: (device: WireguardDevice) => Result): Result {
  const device = by === "kernel" ? new KernelDevice(tunnelLink) : new ProgramDevice(tunnelLink);
  try {
    return work(device);
  } finally {
    device.close();
  }
}

function start({ by }: WantedTunnel): void {
  if (by === "kernel") return;
  const problem = startWireguardProgram(by.program, tunnelLink);
  if (problem !== undefined) throw failed(`${by.program} could not be started: ${problem}`);
  // It sets an MTU of its own while it starts, and answers only then.
  withDevice({ by }, (device) => device.read());
}

function silent({ by }: WantedTunnel): PontoonError {
  return failed(by === "kernel" ? "the kernel knows nothing of the link" : `${by.program} does not answer`);
}

function failed(reason: string, options: { cause?: unknown } = {}): PontoonError {
  return new PontoonError(
    "WIREGUARD_FAILED",
    tunnelLink,
    `${reason}; encrypted networks reach no other host meanwhile, and nothing is sent in plain: it is tried again`,
    options,
  );
}

function taken(): PontoonError {
  return new PontoonError(
    "LINK_NAME_TAKEN",
    tunnelLink,
    `there is a link ${tunnelLink} on this host already, which somebody else has made; remove it`,
  );
}
