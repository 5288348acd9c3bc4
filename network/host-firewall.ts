import { describeError, errorCode } from "../common/errors.js";
import { forward, forwards } from "../linux/network-settings.js";
import { Nfnetlink } from "../linux/netlink/nfnetlink.js";
import { Firewall } from "./firewall/firewall.js";
import type { Failure } from "./protocol.js";
import type { WantedNetwork } from "./wanted.js";

/** What the host's firewall and routing do for all networks together. */
export class HostFirewall {
  /** Tables belong to the connection, which therefore stays open. */
  #connection: { readonly nfnetlink: Nfnetlink; readonly firewall: Firewall } | undefined;
  #mayBeThere = true;

  /** Applies the rules of these networks and of no others, and has the host forward where they lead out. */
  apply(
    networks: readonly WantedNetwork[],
    others: readonly string[],
  ): { failure?: Failure; notes: readonly string[] } {
    try {
      const withRules = networks.flatMap(({ name, bridge, firewall }) =>
        firewall ? [{ name, bridge, ...firewall }] : [],
      );
      if (withRules.length > 0) this.#open().apply({ networks: withRules, forwards: [], links: [], others });
      else if (this.#mayBeThere) this.#remove();
      return { notes: leadOut(networks) };
    } catch (error) {
      const failure: Failure = {
        object: { kind: "firewall", id: "tables" },
        code: errorCode(error) ?? "UNKNOWN",
        subject: "the host's firewall",
        message: `the firewall rules of pontoon's networks: ${describeError(error)}`,
      };
      return { failure, notes: [] };
    }
  }

  close(): void {
    this.#connection?.nfnetlink.close();
    this.#connection = undefined;
  }

  #open(): Firewall {
    if (!this.#connection) {
      const nfnetlink = new Nfnetlink();
      this.#connection = { nfnetlink, firewall: new Firewall(nfnetlink) };
    }
    this.#mayBeThere = true;
    return this.#connection.firewall;
  }

  #remove(): void {
    this.#open().remove();
    this.#mayBeThere = false;
    this.close();
  }
}

function leadOut(networks: readonly WantedNetwork[]): string[] {
  const leading = networks.filter(({ firewall }) => firewall?.internal === false);
  const notes: string[] = [];
  for (const family of ["ipv4", "ipv6"] as const) {
    const isWanted = leading.some(({ hasIPv6 }) => family === "ipv4" || hasIPv6);
    if (!isWanted || forwards(family)) continue;
    forward(family);
    notes.push(`forwarding of ${family === "ipv4" ? "IPv4" : "IPv6"} packets is on now: networks lead out of the host`);
  }
  return notes;
}
