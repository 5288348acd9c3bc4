import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type { Logger } from "pino";
import { describeError } from "../../common/errors.js";
import type { Source } from "../inventory/source.js";
import { EmbeddedSharedStore } from "../store/embedded-shared-store.js";
import type { SharedStore } from "../store/shared-store.js";
import type { Store } from "../store/store.js";
import { Cluster } from "./cluster.js";
import type { HostAnswer } from "./contract.js";
import { Copy } from "./copy.js";
import { HostsSource } from "./hosts-source.js";
import { Membership, type Identity } from "./membership.js";
import { Mirror, type MirrorChange } from "./mirror.js";
import { stateBelow, type SharedNetwork } from "./records.js";
import { ownWireguard, type OwnWireguard } from "./wireguard.js";
import { clusterStatus, type ClusterStatus, type StoreHealth } from "./status.js";

/** What is told of the cluster. */
export interface ClusterListener {
  onChange(change: MirrorChange): void;
  /** The store has lost these: they are to be put back when this host has joined. */
  onNetworksLost(networks: readonly SharedNetwork[]): void;
  /** This host's claims are to be compared with the store. */
  onJoined(): void;
}

export interface ClusterSurroundings {
  /** What the hosts share. */
  readonly shared: SharedStore & { health(): Promise<StoreHealth> };
  /** As its user has written it. */
  readonly storeUrl: string;
  /** Where other hosts reach this one. */
  readonly advertise: string;
  /** Undefined where this host cannot encrypt. */
  readonly wireguard: Pick<OwnWireguard, "by" | "port"> | undefined;
  /** This host's own store. */
  readonly local: Store;
  readonly source: Source;
  readonly log: Logger;
}

const idKey = "host-id";
const clusterKey = "cluster-id";

/** The role of one host among several that share a store: what is known of the others, and what is agreed with them. */
export class ClusterController {
  readonly mirror = new Mirror();
  readonly cluster: Cluster;
  readonly #membership: Membership;
  readonly #copy: Copy;
  readonly #source: HostsSource;
  #listener: ClusterListener | undefined;

  /** Throws STORE_UNREADABLE, STORE_UNWRITABLE. */
  constructor(private readonly around: ClusterSurroundings) {
    const { shared, local, log, advertise } = around;
    const identity = identityIn(local);
    const wireguard = around.wireguard && ownWireguard(local, around.wireguard);
    const host = {
      id: identity.host,
      name: hostname(),
      advertise,
      joined: new Date().toISOString(),
      ...(wireguard && { wireguard: { publicKey: wireguard.publicKey, port: wireguard.port } }),
    };
    this.#copy = new Copy(new EmbeddedSharedStore(local), (error) =>
      log.warn({ reason: describeError(error) }, "what other hosts have could not be kept for the next start"),
    );
    this.#source = new HostsSource(around.source, this.mirror, host.id);
    this.#membership = new Membership(shared, this.mirror, host, identity, log, {
      onChange: (change, { changes }) => {
        this.#copy.note(changes.map(({ key, record }) => ({ key, value: record?.value })));
        this.#onChange(change);
      },
      onNetworksLost: (networks) => this.#listener?.onNetworksLost(networks),
      onJoined: () => this.#listener?.onJoined(),
    });
    this.cluster = new Cluster(host, this.mirror, this.#membership, log, wireguard);
  }

  /** Takes up what was known when the last daemon ended. */
  async load(): Promise<void> {
    const { revision, records } = await this.#copy.read();
    const own = [...records.values()].filter(({ key }) => key.startsWith(stateBelow));
    // The copy's revisions are not the store's: all is heard again from there.
    const changes = own.map((record) => ({ key: record.key, record: { ...record, revision: 0 } }));
    this.#onChange(this.mirror.apply({ revision: Math.min(revision, 0), changes }));
  }

  /** Joins, and tells from now on. Returns at once. */
  start(listener: ClusterListener): void {
    this.#listener = listener;
    this.#membership.start();
  }

  #onChange(change: MirrorChange): void {
    this.#source.tell(change);
    this.#listener?.onChange(change);
  }

  hosts(): HostAnswer[] {
    const { mirror, cluster } = this;
    return [...mirror.hosts.values()].map(({ id, name, advertise, joined }) => ({
      id,
      name,
      advertise,
      joined,
      self: id === cluster.host.id,
      state: mirror.isAlive(id) ? "in touch" : "away",
      endpoints: [...mirror.endpointsOf(id)].length,
    }));
  }

  /** As {@link Cluster.forget}. */
  async forget(nameOrId: string): Promise<{ host: string; endpoints: number }> {
    const { host, endpoints } = await this.cluster.forget(nameOrId);
    return { host: host.name, endpoints };
  }

  async status(): Promise<ClusterStatus> {
    return clusterStatus({
      storeUrl: this.around.storeUrl,
      host: this.cluster.host,
      wireguard: this.cluster.wireguard,
      state: this.#membership.state,
      mirror: this.mirror,
      health: await this.around.shared.health(),
    });
  }

  /** Leaves everything as it is; others find this host away when its presence has run out. Can be called twice. */
  async stop(): Promise<void> {
    this.#membership.stop();
    await this.around.shared.close();
    await this.#copy.close();
  }
}

/** The host's, made when it first joins: for as long as its state directory is there. */
function identityIn(store: Store): Identity {
  const meta = store.all("meta");
  const textOf = (key: string) => {
    const value = meta.get(key);
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const host = textOf(idKey) ?? randomBytes(16).toString("hex");
  if (textOf(idKey) === undefined) store.write([{ kind: "meta", key: idKey, value: host }]);
  let cluster = textOf(clusterKey);
  return {
    host,
    get cluster() {
      return cluster;
    },
    joined(id) {
      store.write([{ kind: "meta", key: clusterKey, value: id }]);
      cluster = id;
    },
  };
}
