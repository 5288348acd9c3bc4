import { familyOf, type Family } from "../common/address.js";
import { printable } from "../common/printable.js";
import { describeError, errorCode } from "../common/errors.js";
import { forgetFlows, forgetUntranslated } from "../linux/netlink/conntrack.js";
import { Budget } from "../linux/netlink/budget.js";
import { KeptNfnetlink, Nfnetlink } from "../linux/netlink/nfnetlink.js";
import { bridgesAreFiltered } from "./firewall/bridge-filter.js";
import { Firewall, type ForwardChanges } from "./firewall/firewall.js";
import { ForeignAccept } from "./firewall/foreign-accept.js";
import { LegacyAccept } from "./firewall/legacy-accept.js";
import type { Forwarding } from "./forwarding.js";
import { PUBLISHED_MARK, type KernelForward, type LinkAccept, type UnderlayTunnel } from "./firewall/wanted.js";
import type { Elsewhere, Failure } from "./protocol.js";
import { tunnelLink, type WantedNetwork } from "./wanted.js";

/** What is read of others' rules: hosts have tens of thousands at most. */
const limits = { bytes: 64 << 20, objects: 200_000, time: 5000 };

interface Connection {
  readonly nfnetlink: Nfnetlink;
  readonly firewall: Firewall;
}

interface Attempt {
  readonly failure?: Failure;
  /** What was changed beyond what was asked for. */
  readonly notes: readonly string[];
}

/** What the host's firewall and routing do for all networks together. */
export class HostFirewall {
  /** Tables belong to the connection, which therefore stays open. */
  #connection: Connection | undefined;
  #mayBeThere = true;
  #isApplied = false;
  readonly #forwards = new Map<string, KernelForward>();
  #links: readonly LinkAccept[] = [];
  #dockerBridges: readonly string[] = [];
  /** For all that may fail without harm to our tables. */
  readonly #visits = new KeptNfnetlink();
  readonly #foreign = new ForeignAccept(this.#visits, () => this.#budget());
  readonly #legacy = new LegacyAccept();
  /** Chains of others where a rule of ours stands. */
  #accepts: readonly string[] = [];
  /** Why there is none elsewhere, as it was told. */
  #troubles: readonly string[] = [];
  #firewalld: string | undefined;

  /**
   * @param seenBridges names of bridges on the host that must be Docker's: nothing passes between them and ours
   * @param addresses the host's own
   * @param peersOf addresses of other hosts that are on an overlay network, by its id
   * @param tunnel by which packets of encrypted networks come; undefined where there is none
   */
  constructor(
    private readonly seenBridges: () => readonly string[],
    private readonly addresses: () => readonly string[],
    private readonly forwarding: Forwarding,
    private readonly peersOf: (network: string) => readonly string[],
    private readonly tunnel: () => Omit<UnderlayTunnel, "link"> | undefined,
  ) {}

  /** @param links undefined: as before  @returns whether they are others now, which counts from the next {@link apply} on */
  setLinks(links = this.#links): boolean {
    const areOthers = JSON.stringify(links) !== JSON.stringify(this.#links);
    this.#links = links;
    return areOthers;
  }

  /** Names of further bridges of Docker's; otherwise as {@link setLinks}. */
  setDockerBridges(names = this.#dockerBridges): boolean {
    const areOthers = names.join("/") !== this.#dockerBridges.join("/");
    this.#dockerBridges = names;
    return areOthers;
  }

  /** Applies the rules of these networks and of no others, and has the host forward where they lead out. */
  apply(networks: readonly WantedNetwork[]): Attempt {
    return attempt(() => {
      const withRules = networks.flatMap(({ name, bridge, firewall }) =>
        firewall ? [{ name, bridge, ...firewall }] : [],
      );
      if (withRules.length === 0 && this.#forwards.size === 0) return this.#remove();
      const { firewall, nfnetlink } = this.#open();
      firewall.check();
      const forwards = [...this.#forwards.values()];
      const overlays = networks.flatMap(({ id, name, overlay }) =>
        overlay ? [{ ...overlay, name, peers: this.peersOf(id) }] : [],
      );
      const tunnel = this.tunnel();
      const withInput = overlays.length > 0;
      firewall.apply({
        networks: withRules,
        forwards,
        links: this.#links,
        others: [...new Set([...this.#dockerBridges, ...this.seenBridges()])],
        bridgesFiltered: bridgesAreFiltered(),
        overlays,
        ...(tunnel && { tunnel: { ...tunnel, link: tunnelLink } }),
      });
      this.#isApplied = true;
      return { notes: [...this.forwarding.apply(nfnetlink, waysOut(networks)), ...this.#acceptElsewhere(withInput)] };
    });
  }

  /** Changes what the kernel forwards, at a cost that does not grow with how much it forwards already; forgets flows to where it led. */
  changeForwards({ remove = [], add = [] }: ForwardChanges, networks: readonly WantedNetwork[]): Attempt {
    for (const forward of remove) this.#forwards.delete(keyOf(forward));
    for (const forward of add) this.#forwards.set(keyOf(forward), forward);
    const { failure, notes } = this.#isChangeable(networks) ? this.#change({ remove, add }) : this.apply(networks);
    // Last, or the next packet would find the old rules.
    const forgotten = attempt(() => {
      this.#visits.with((nfnetlink) => {
        for (const { to, transport } of remove)
          forgetFlows(nfnetlink, { ip: to.ip, at: { transport, port: to.port }, mark: PUBLISHED_MARK }, this.#budget());
        // Who went on sending while there was no target has a flow to the proxy's socket.
        const ports = new Set(add.filter(({ transport }) => transport === "udp").map(({ port }) => port));
        if (ports.size === 0) return;
        const addresses = this.addresses();
        for (const family of ["ipv4", "ipv6"] as const)
          forgetUntranslated(
            nfnetlink,
            { ips: addresses.filter((ip) => familyOf(ip) === family), ports },
            this.#budget(),
          );
      });
      return { notes: [] };
    });
    const told = failure ?? forgotten.failure;
    return { ...(told && { failure: told }), notes };
  }

  /** Whether the tables are there, and are to stay. */
  #isChangeable(networks: readonly WantedNetwork[]): boolean {
    return this.#isApplied && (this.#forwards.size > 0 || networks.some(({ firewall }) => firewall));
  }

  #change(changes: ForwardChanges): Attempt {
    return attempt(() => {
      this.#open().firewall.changeForwards(changes);
      return { notes: [] };
    });
  }

  /** What cannot be looked at, or changed, is told, once; networks work for all but what others refuse. */
  #acceptElsewhere(withInput: boolean): string[] {
    const before = this.#troubles;
    const notes: string[] = [];
    try {
      const [foreign, legacy] = [this.#foreign.put({ withInput }), this.#legacy.put({ withInput })];
      const refused = [...foreign.refused, ...legacy.refused];
      this.#accepts = [...foreign.all, ...legacy.all];
      this.#firewalld = foreign.firewalld;
      notes.push(
        ...[...foreign.added, ...legacy.added].map(
          (place) => `a rule in ${printable(place)} accepts what passes from and to networks of pontoon's`,
        ),
      );
      this.#troubles = refused.map(
        ([place, reason]) =>
          `${printable(place)} may refuse what passes from and to networks of pontoon's, and takes no rule that accepts it: ${printable(reason)}`,
      );
    } catch (error) {
      this.#troubles = [`others' firewall rules could not be looked through: ${describeError(error)}`];
    }
    return [...notes, ...this.#troubles.filter((trouble) => !before.includes(trouble))];
  }

  #budget(): Budget {
    return new Budget("the host's firewall", limits);
  }

  get elsewhere(): Elsewhere {
    return {
      rules: this.#accepts,
      troubles: this.#troubles,
      ...(this.#firewalld !== undefined && { firewalld: this.#firewalld }),
    };
  }

  /** Whether rules have changed of which no news tells. Can be asked often. */
  get hasUntoldChanges(): boolean {
    return this.#isApplied && this.#legacy.hasChanged();
  }

  close(): void {
    this.#isApplied = false;
    this.#visits.close();
    this.#connection?.nfnetlink.close();
    this.#connection = undefined;
  }

  #open(): Connection {
    if (!this.#connection) {
      const nfnetlink = new Nfnetlink();
      this.#connection = { nfnetlink, firewall: new Firewall(nfnetlink) };
    }
    this.#mayBeThere = true;
    return this.#connection;
  }

  #remove(): { notes: readonly string[] } {
    if (!this.#mayBeThere) return { notes: [] };
    this.#foreign.remove();
    this.#legacy.remove();
    const { firewall, nfnetlink } = this.#open();
    firewall.remove();
    const notes = this.forwarding.apply(nfnetlink, new Set());
    this.#accepts = this.#troubles = [];
    this.#mayBeThere = false;
    this.close();
    return { notes };
  }
}

/** What goes wrong is told, and what was there stays. */
function attempt(work: () => Pick<Attempt, "notes">): Attempt {
  try {
    return work();
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

function keyOf({ transport, ip, port, to }: KernelForward): string {
  return `${transport} ${ip ?? familyOf(to.ip)} ${port}`;
}

/** Families in which a network leads out of the host. */
function waysOut(networks: readonly WantedNetwork[]): Set<Family> {
  const leading = networks.filter(({ firewall }) => firewall?.internal === false);
  return new Set(leading.flatMap(({ hasIPv6 }) => (hasIPv6 ? (["ipv4", "ipv6"] as const) : (["ipv4"] as const))));
}
