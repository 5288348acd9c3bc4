import type { Logger } from "pino";
import { Cluster } from "../cluster.js";
import { Mirror, type MirrorChange } from "../mirror.js";
import { stateBelow, type HostRecord, type SharedEndpoint, type SharedNetwork } from "../records.js";
import { joining } from "../transactions.js";
import { SimulatedWay, type SimulatedStore } from "./simulated-store.js";

/** A host that has joined others on a simulated store. What they do there it hears of when it is told to. */
export class SimulatedHost {
  readonly mirror = new Mirror();
  readonly way: SimulatedWay;
  readonly cluster: Cluster;

  constructor(
    readonly record: HostRecord,
    private readonly store: SimulatedStore,
    log: Logger,
  ) {
    this.way = new SimulatedWay(store, () => Promise.resolve());
    store.commit(joining(record, undefined));
    this.cluster = new Cluster(record, this.mirror, this.way, log);
    this.hear();
  }

  /** @returns what it has heard, in order */
  hear(): MirrorChange[] {
    return this.store.news
      .filter(({ revision }) => revision > this.mirror.revision)
      .map((news) =>
        this.mirror.apply({ ...news, changes: news.changes.filter(({ key }) => key.startsWith(stateBelow)) }),
      );
  }
}

/** Host N, at 10.99.0.N. */
export const hostRecord = (number: number, name: string): HostRecord => ({
  id: `h${number}`,
  name,
  advertise: `10.99.0.${number}`,
  joined: "",
});

/** A network that a dockerd has had made, with 10.88.0.0/24 unless another subnet is given. */
export const sharedNetwork = (id: string, changes: Partial<SharedNetwork> = {}): SharedNetwork => ({
  id,
  name: id,
  created: "",
  subnets: [{ subnet: "10.88.0.0/24", gateway: "10.88.0.1" }],
  internal: false,
  masquerade: true,
  mtu: 1450,
  vni: 0x100000 + id.charCodeAt(id.length - 1),
  labels: {},
  docker: { options: {}, isNamed: false },
  ...changes,
});

/** A container's place on a network, with addresses that its host has before and after. */
export const reservedEndpoint = (
  { id: host }: HostRecord,
  network: string,
  name: string,
  changes: Partial<SharedEndpoint> = {},
): SharedEndpoint => ({
  id: `e-${name}`,
  network,
  host,
  sandbox: `s-${name}`,
  name,
  hostname: name,
  aliases: [],
  exposed: [],
  ipv4: "10.88.0.2",
  mac: "02:42:0a:58:00:02",
  reserved: true,
  ...changes,
});
