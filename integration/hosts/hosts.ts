// Several hosts of pontoon's, with a store that they share.
import { inside, reaches, run } from "../networks/host.js";
import {
  BareHost,
  DockerHost,
  EtcdCluster,
  Underlay,
  until,
  type Pontoon,
  type UnderlayEtcdOptions,
} from "../lab/index.js";

type Owner = Parameters<typeof Underlay.start>[0];

/** In front of all keys. */
const prefix = "/pontoon/v1/";

/** A network as the store has it. */
export interface StoredNetwork {
  readonly id: string;
  readonly name: string;
  readonly vni: number;
  readonly subnets: readonly { readonly subnet: string }[];
}

/** An endpoint as the store has it. */
export interface StoredEndpoint {
  readonly id: string;
  readonly network: string;
  readonly name: string;
  readonly ipv4: string;
  readonly mac: string;
}

/** A host of the cluster: number N has the address 10.99.0.N. */
export interface ClusterHost {
  readonly number: number;
  readonly host: BareHost;
  readonly pontoon: Pontoon;
}

/** One of them that runs containers of Docker's. */
export interface DockerClusterHost {
  readonly number: number;
  readonly host: DockerHost;
  readonly pontoon: Pontoon;
}

export class ClusterLab {
  private constructor(
    readonly owner: Owner,
    readonly underlay: Underlay,
    readonly etcd: EtcdCluster,
  ) {}

  static async start(owner: Owner, options: UnderlayEtcdOptions = {}): Promise<ClusterLab> {
    const underlay = await Underlay.start(owner);
    return new ClusterLab(owner, underlay, await EtcdCluster.on(underlay, { members: 1, ...options }));
  }

  /** What a daemon of a host is started with. */
  args(number: number): string[] {
    return ["--store", this.etcd.url, "--advertise", this.underlay.uplink(number).address];
  }

  /** @param config the content of its daemon's configuration file */
  async host(number: number, config?: string): Promise<ClusterHost> {
    const host = await BareHost.start(this.owner, { uplink: this.underlay.uplink(number) });
    return { number, host, pontoon: await this.daemon(host, number, config) };
  }

  /** As {@link host}, with a dockerd that the daemon drives networks of. */
  async dockerHost(number: number, config?: string): Promise<DockerClusterHost> {
    const host = await DockerHost.start(this.owner, { uplink: this.underlay.uplink(number) });
    return { number, host, pontoon: await this.daemon(host, number, config) };
  }

  /** Starts a daemon that has joined when this returns. */
  async daemon(host: Pick<BareHost, "pontoon">, number: number, config?: string): Promise<Pontoon> {
    const pontoon = await host.pontoon({ args: this.args(number), ...(config !== undefined && { config }) });
    await until(async () => (await clusterOf(pontoon)).state === "joined", { what: `host ${number} has joined` });
    return pontoon;
  }

  async untilJoined({ number, pontoon }: Pick<ClusterHost, "number" | "pontoon">): Promise<void> {
    // Attempts to join are up to a quarter of a minute apart.
    const isJoined = async () => (await clusterOf(pontoon)).state === "joined";
    await until(isJoined, { what: `host ${number} has joined again`, timeoutMs: 20_000 });
  }

  /** The store's keys below one, without what stands before all of them. */
  async keys(below: string): Promise<string[]> {
    const lines = (await this.etcd.etcdctl("get", "--prefix", "--keys-only", prefix + below)).split("\n");
    return lines.filter((line) => line !== "").map((line) => line.slice(prefix.length));
  }

  /** What the store has under one key, as it is written there. */
  value(key: string): Promise<string> {
    return this.etcd.etcdctl("get", "--print-value-only", prefix + key);
  }

  /** Of all hosts, as the store has them. */
  async networks(): Promise<StoredNetwork[]> {
    return (await this.#values("state/networks/")) as StoredNetwork[];
  }

  /** Has the store say that it is another cluster's, from the first moment on. @param numbers of all hosts */
  async replace(numbers: readonly number[]): Promise<void> {
    for (const number of numbers) await this.isolate(number);
    await this.etcd.wipe();
    const cluster = { id: "00000000-0000-4000-8000-000000000000", created: new Date().toISOString() };
    await this.etcd.etcdctl("put", `${prefix}state/cluster`, JSON.stringify(cluster));
    for (const number of numbers) await this.rejoin(number);
  }

  /** Of all hosts, as the store has them. */
  async endpoints(): Promise<StoredEndpoint[]> {
    return (await this.#values("state/endpoints/")) as StoredEndpoint[];
  }

  async #values(below: string): Promise<unknown[]> {
    const text = await this.etcd.etcdctl("get", "--prefix", "--print-value-only", prefix + below);
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as unknown);
  }

  /** Cuts a host from every member of etcd. */
  async isolate(number: number): Promise<void> {
    for (const member of this.members) await this.underlay.cut(this.underlay.uplink(number), this.etcd.uplink(member));
  }

  /** Undoes {@link isolate}. */
  async rejoin(number: number): Promise<void> {
    for (const member of this.members) await this.underlay.heal(this.underlay.uplink(number), this.etcd.uplink(member));
  }

  get members(): number[] {
    return this.etcd.endpoints.map((_, index) => index + 1);
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

/** Makes the network `demo`, and waits until all hosts have it. */
export async function prepare(hosts: readonly ClusterHost[], options = "--subnet 10.88.0.0/16"): Promise<void> {
  await run(hosts[0]!.pontoon, `network create -d overlay demo ${options}`);
  for (const { pontoon, number } of hosts)
    await until(async () => (await run(pontoon, "network ls")).includes("demo"), {
      what: `host ${number} has the network`,
    });
}

/** Asks for it as `pontoon sandbox create` does, without a process for each. @returns what is wrong, or nothing */
export function create({ pontoon }: ClusterHost, name: string, ips: readonly string[] = []): Promise<string> {
  return ask(pontoon, "/v1/sandboxes", { name, networks: ["demo"], ips });
}

export function remove({ pontoon }: ClusterHost, name: string): Promise<string> {
  return ask(pontoon, "/v1/sandboxes/remove", { name });
}

async function ask(pontoon: Pontoon, path: string, body: unknown): Promise<string> {
  const answer = await pontoon.post(path, body);
  return answer.status < 300 ? "" : answer.body;
}

/** Names of its sandboxes, sorted. */
export async function sandboxesOn({ pontoon }: ClusterHost): Promise<string[]> {
  const { body } = await pontoon.get("/v1/sandboxes");
  return (JSON.parse(body) as { name: string }[]).map(({ name }) => name).sort();
}

/** Names of its networks. */
export async function listedOn({ pontoon }: ClusterHost): Promise<string[]> {
  const { body } = await pontoon.get("/v1/networks");
  return (JSON.parse(body) as { Name: string }[]).map(({ Name }) => Name);
}

/** Its sandboxes and their addresses on `demo`; what is on it not is left out. */
export async function addressesOn({ pontoon }: ClusterHost): Promise<[name: string, ipv4: string][]> {
  const { body } = await pontoon.get("/v1/sandboxes");
  const sandboxes = JSON.parse(body) as { name: string; networks: { network: string; ipv4: string }[] }[];
  return sandboxes.flatMap(({ name, networks }) =>
    networks.filter(({ network }) => network === "demo").map(({ ipv4 }): [string, string] => [name, ipv4]),
  );
}

/** A sandbox's address on `demo`. */
export async function addressOf({ pontoon }: ClusterHost, sandbox: string): Promise<string> {
  const [{ networks }] = JSON.parse(await run(pontoon, `sandbox inspect ${sandbox}`)) as [
    { networks: { network: string; ipv4: string }[] },
  ];
  return networks.find(({ network }) => network === "demo")!.ipv4;
}

/** Whether a name has an answer in a sandbox. */
export async function resolves({ pontoon }: ClusterHost, sandbox: string, name: string): Promise<boolean> {
  const { stdout } = await inside(pontoon, sandbox, `busybox nslookup -type=a ${name} 127.0.0.11`);
  return /^Name:/m.test(stdout);
}

/** What a host says of networks and hosts of the cluster. */
export async function listed({ pontoon }: Pick<ClusterHost, "pontoon">): Promise<string> {
  const hosts = (JSON.parse(await run(pontoon, "host ls --json")) as { id: string; endpoints: number }[])
    .map(({ id, endpoints }) => `${id} ${endpoints}`)
    .sort();
  const networks = (
    JSON.parse(await run(pontoon, "network ls --json")) as { Id: string; Name: string; Driver: string }[]
  )
    .filter(({ Driver }) => Driver === "overlay")
    .map(({ Id, Name }) => `${Id} ${Name}`)
    .sort();
  return [...hosts, ...networks].join("\n");
}

/** @returns which member it was */
export async function killLeader(etcd: EtcdCluster): Promise<number> {
  const leader = await etcd.leader();
  await etcd.kill(leader);
  return leader;
}
