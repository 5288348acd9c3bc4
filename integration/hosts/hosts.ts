// Several hosts of pontoon's, with a store that they share.
import { reaches } from "../networks/host.js";
import { BareHost, HostsEtcd, Underlay, until, type Pontoon } from "../lab/index.js";

type Owner = Parameters<typeof Underlay.start>[0];

/** A host of the cluster: number N has the address 10.99.0.N. */
export interface ClusterHost {
  readonly number: number;
  readonly host: BareHost;
  readonly pontoon: Pontoon;
}

export class ClusterLab {
  private constructor(
    readonly owner: Owner,
    readonly underlay: Underlay,
    readonly etcd: HostsEtcd,
  ) {}

  static async start(owner: Owner, { members = 1 } = {}): Promise<ClusterLab> {
    const underlay = await Underlay.start(owner);
    return new ClusterLab(owner, underlay, await HostsEtcd.start(underlay, { members }));
  }

  /** What a daemon of a host is started with. */
  args(number: number): string[] {
    const members = this.etcd.endpoints.replaceAll("http://", "");
    return ["--store", `etcd://${members}`, "--advertise", this.underlay.uplink(number).address];
  }

  async host(number: number): Promise<ClusterHost> {
    const host = await BareHost.start(this.owner, { uplink: this.underlay.uplink(number) });
    return { number, host, pontoon: await this.daemon(host, number) };
  }

  /** Starts a daemon that has joined when this returns. */
  async daemon(host: BareHost, number: number): Promise<Pontoon> {
    const pontoon = await host.pontoon({ args: this.args(number) });
    await until(async () => (await clusterOf(pontoon)).state === "joined", { what: `host ${number} has joined` });
    return pontoon;
  }

  /** Cuts a host from every member of etcd. */
  async isolate(number: number): Promise<void> {
    for (const member of this.members) await this.underlay.cut(this.underlay.uplink(number), this.etcd.uplink(member));
  }

  get members(): number[] {
    return this.etcd.endpoints.split(",").map((_, index) => index + 1);
  }
}

export interface ClusterView {
  readonly state: string;
  readonly hosts: number;
  readonly away: readonly string[];
  readonly behind: number;
  readonly endpoints: number;
}

/** What `pontoon status` says of the cluster. */
export async function clusterOf(pontoon: Pontoon): Promise<ClusterView> {
  return ((await pontoon.status()) as unknown as { cluster: ClusterView }).cluster;
}

/** Waits until one sandbox reaches another by its name. */
export async function untilPings({ pontoon }: ClusterHost, from: string, name: string): Promise<void> {
  await until(() => reaches(pontoon, from, name), { what: `${from} reaches ${name}` });
}
