import type { MembershipState } from "./membership.js";
import type { Mirror } from "./mirror.js";
import type { HostRecord } from "./records.js";
import { nameOfMaker, type OwnWireguard } from "./wireguard.js";

/** How the store does that hosts share. */
export interface StoreHealth {
  readonly members: readonly {
    readonly name: string;
    readonly endpoint: string;
    readonly healthy: boolean;
    readonly isLeader: boolean;
    readonly error?: string;
  }[];
  readonly leader?: string;
  readonly clusterId: string;
  readonly revision: number;
}

/** How this host is among those that share a store, for `pontoon status`. */
export interface ClusterStatus {
  readonly store: string;
  readonly host: Pick<HostRecord, "id" | "name" | "advertise">;
  readonly state: MembershipState["kind"];
  /** Why it is not `joined`; since when it is. */
  readonly detail: string;
  readonly hosts: number;
  readonly away: readonly string[];
  /** What encrypts packets of encrypted networks here: `wireguard (kernel)`, `wireguard-go`; left out where nothing does. */
  readonly encryption?: string;
  /** Names of hosts that are not reached by encrypted networks; left out where all are, or no network is encrypted. */
  readonly plain?: readonly string[];
  readonly networks: number;
  readonly endpoints: number;
  readonly members: StoreHealth["members"];
  readonly leader?: string;
  /** Revisions of the store that this host has not heard of, as far as the store tells. */
  readonly behind: number;
}

export function clusterStatus(known: {
  readonly storeUrl: string;
  readonly host: HostRecord;
  readonly wireguard: Pick<OwnWireguard, "by"> | undefined;
  readonly state: MembershipState;
  readonly mirror: Mirror;
  readonly health: StoreHealth;
}): ClusterStatus {
  const { storeUrl, host, wireguard, state, mirror, health } = known;
  const { id, name, advertise } = host;
  const hasEncrypted = [...mirror.networks.values()].some(({ isEncrypted }) => isEncrypted);
  const plain = [...mirror.hosts.values()].filter((each) => hasEncrypted && !each.wireguard);
  const away = [...mirror.hosts.values()].filter((each) => !mirror.isAlive(each.id));
  return {
    store: storeUrl,
    host: { id, name, advertise },
    state: state.kind,
    detail: state.kind === "joined" ? `since ${state.since}` : (state.reason ?? "the store has not answered yet"),
    hosts: mirror.hosts.size,
    away: away.map((each) => each.name),
    ...(wireguard && { encryption: nameOfMaker(wireguard.by) }),
    ...(plain.length > 0 && { plain: plain.map((each) => each.name) }),
    networks: mirror.networks.size,
    endpoints: [...mirror.endpoints()].length,
    members: health.members,
    ...(health.leader !== undefined && { leader: health.leader }),
    behind: Math.max(0, health.revision - mirror.revision),
  };
}
