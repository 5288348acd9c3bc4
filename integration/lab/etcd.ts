import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hostEnvironment, runCommand } from "./command.js";
import type { TestOwner } from "./docker-host.js";
import type { Uplink, Underlay } from "./underlay.js";
import { until } from "./until.js";

/** Where a member runs. */
export interface EtcdPlace {
  /** The address on which it answers clients and members. */
  readonly address: string;
  /** The path of the network namespace that it runs in; that of this process if there is none. */
  readonly netns?: string;
}

/** What a cluster is made of. */
export interface EtcdOptions {
  /** One member for each; so many on this machine's loopback address if only a number is given. */
  readonly members: number | readonly EtcdPlace[];
  /** Further options of etcd's. */
  readonly arguments?: readonly string[];
}

/** Reason to skip what needs etcd; false where it is installed. */
export const withoutEtcd: string | false =
  existsSync("/usr/bin/etcd") && existsSync("/usr/bin/etcdctl")
    ? false
    : "needs etcd (Debian: etcd-server, etcd-client)";

/** What a member needs of where it runs. */
interface Seat {
  readonly address: string;
  readonly clientPort: number;
  readonly peerPort: number;
  readonly uplink?: Uplink;
  /** The command line that runs `argv` there. */
  enter(argv: readonly string[]): string[];
}

interface Member extends Seat {
  readonly name: string;
  process: ChildProcess | undefined;
  /** As it is numbered where it runs. */
  pid: number;
}

/** What all members share. */
interface Ground {
  /** Of this cluster alone, as members see it: data of members, and what a test puts there. */
  readonly folder: string;
  readonly arguments: readonly string[];
  signal(signal: NodeJS.Signals, pid: number): Promise<void> | void;
}

const usualPorts = { clientPort: 2379, peerPort: 2380 };
/** What a cluster on an underlay is made of. */
export interface UnderlayEtcdOptions {
  /** Default 3. */
  readonly members?: number;
}

/** Where the first member is on an underlay; the others follow. */
const firstNumber = 101;
let made = 0;

/** A cluster of real etcd processes, which forget everything with the test. Members are numbered from 1. */
export class EtcdCluster {
  readonly #token = `pontoon-test-${process.pid}-${++made}`;
  readonly #members: readonly Member[];

  private constructor(
    private readonly ground: Ground,
    seats: readonly Seat[],
  ) {
    this.#members = seats.map((seat, index) => ({ ...seat, name: `member${index + 1}`, process: undefined, pid: 0 }));
  }

  /** Starts members on this machine, for a store alone. All are healthy when this resolves, and end with the test. */
  static async start(owner: TestOwner, { members, arguments: options = [] }: EtcdOptions): Promise<EtcdCluster> {
    const seats = typeof members === "number" ? await loopbackSeats(members) : members.map(seatAt);
    const folder = mkdtempSync(join(tmpdir(), "etcd-"));
    const signal = (name: NodeJS.Signals, pid: number) => void process.kill(pid, name);
    const cluster = new EtcdCluster({ folder, arguments: options, signal }, seats);
    owner.teardown(async () => {
      await cluster.#each((member) => cluster.kill(member));
      rmSync(folder, { recursive: true, force: true });
    });
    return cluster.#startAll();
  }

  /**
   * Starts members on an underlay, from 10.99.0.101 on, for hosts to agree through; Docker 20.10 may as well. All are
   * healthy when this resolves. Their data is in memory and goes with the underlay, as they do.
   */
  static async on(underlay: Underlay, { members = 3 }: UnderlayEtcdOptions = {}): Promise<EtcdCluster> {
    const numbers = Array.from({ length: members }, (_, index) => firstNumber + index);
    const servers = await Promise.all(numbers.map((number) => underlay.server(number)));
    const seats = servers.map((server) => ({ ...usualPorts, ...server, address: server.uplink.address }));
    const signal = (name: NodeJS.Signals, pid: number) => underlay.signal(name, pid);
    // Docker 20.10 speaks v2.
    const ground = { folder: "/run/host/etcd", arguments: ["--enable-v2"], signal };
    return new EtcdCluster(ground, seats).#startAll();
  }

  get folder(): string {
    return this.ground.folder;
  }

  /** `HOST:PORT` of each member. */
  get endpoints(): readonly string[] {
    return this.#members.map(({ address, clientPort }) => `${address}:${clientPort}`);
  }

  /** What `--store` takes. */
  get url(): string {
    return `etcd://${this.endpoints.join(",")}`;
  }

  /** What dockerd takes, until 20.10, for its own overlay networks to be shared through this cluster. */
  dockerFlags(uplink: Uplink): string[] {
    return [`--cluster-store=${this.url}`, `--cluster-advertise=${uplink.address}:2376`];
  }

  /** Where a member is on the underlay, for cuts. */
  uplink(member: number): Uplink {
    const { uplink, name } = this.#member(member);
    if (uplink === undefined) throw new Error(`${name} is on no underlay`);
    return uplink;
  }

  /** Whether a member says it is healthy: it has a leader, and the cluster agrees on a proposal of its. */
  async isHealthy(member: number): Promise<boolean> {
    const answer = await this.#ask(member, "/health");
    return (answer as { health?: string } | undefined)?.health === "true";
  }

  /** Waits until a member is healthy. */
  async untilHealthy(member: number): Promise<void> {
    await until(() => this.isHealthy(member), { timeoutMs: 20_000, everyMs: 50, what: `etcd ${member} is healthy` });
  }

  /** The number of the member that a majority of all takes for the leader; waits until there is one. */
  async leader(): Promise<number> {
    const found = await until(() => this.#agreedLeader(), {
      timeoutMs: 20_000,
      everyMs: 50,
      what: "etcd has a leader",
    });
    return found!;
  }

  /** Ends a member by SIGKILL; its data stays. */
  async kill(member: number): Promise<void> {
    const { process: child, pid } = this.#member(member);
    if (child === undefined) return;
    const exit = once(child, "exit");
    await this.ground.signal("SIGKILL", pid);
    await exit;
  }

  /** Starts a member with the data it had, after it is killed if it runs. Does not wait until it is healthy. */
  async restart(member: number): Promise<void> {
    await this.kill(member);
    await this.#spawn(member);
  }

  /** Stops a member by SIGSTOP: its connections stay open, and nothing is answered. */
  async stop(member: number): Promise<void> {
    await this.ground.signal("SIGSTOP", this.#member(member).pid);
  }

  /** Lets a stopped member go on. */
  async continue(member: number): Promise<void> {
    await this.ground.signal("SIGCONT", this.#member(member).pid);
  }

  /** Runs etcdctl where the first member is, told of all, or of some. @returns what it printed */
  async etcdctl(...args: string[]): Promise<string> {
    return this.#etcdctl(this.endpoints, args);
  }

  /** Writes what a member has to a file. */
  async snapshot(member: number, file: string): Promise<void> {
    await this.#etcdctl([this.endpoints[member - 1]!], ["snapshot", "save", file]);
  }

  /** Ends all members, gives them what a {@link snapshot} has, and starts them as the cluster that it was. */
  async restore(file: string): Promise<void> {
    await this.#refill(async (member) => {
      const { name } = this.#member(member);
      const argv = ["etcdctl", "snapshot", "restore", file, ...this.#membership(member)];
      await this.#run(member, ["env", "ETCDCTL_API=3", ...argv, `--name=${name}`, `--data-dir=${this.#data(member)}`]);
    });
  }

  /** Ends all members and starts them with nothing in them, as another cluster: what they had is lost. */
  async wipe(): Promise<void> {
    await this.#refill(() => Promise.resolve());
  }

  async #refill(fill: (member: number) => Promise<void>): Promise<void> {
    await this.#each((member) => this.kill(member));
    await this.#each(async (member) => {
      await this.#run(member, ["rm", "-rf", this.#data(member)]);
      await fill(member);
    });
    await this.#startAll();
  }

  async #startAll(): Promise<this> {
    await this.#each((member) => this.#spawn(member));
    await this.#each((member) => this.untilHealthy(member));
    return this;
  }

  async #spawn(number: number): Promise<void> {
    const member = this.#member(number);
    // A shell before etcd, since nsenter would stop together with a member that is stopped, and stay so for ever.
    // The shell would also tell the terminal of each death.
    const run = `mkdir -p "$1"; exec 2>>"$1/$2.log"; shift 2; "$@" >&2 & echo $!; wait $!`;
    const etcd = [...commandLine(member, this.#data(number)), ...this.#membership(number)];
    const shell = ["sh", "-c", run, "sh", this.folder, member.name, ...etcd, ...this.ground.arguments];
    const [command = "", ...args] = member.enter(shell);
    // Not by execa, which would wait for its end: it lives until it is killed, or the underlay ends. Ctrl-C is not for it.
    const child = spawn(command, args, { env: hostEnvironment, detached: true, stdio: ["ignore", "pipe", "inherit"] });
    child.on("exit", () => (member.process = undefined));
    member.process = child;
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    member.pid = Number(line.toString());
  }

  async #agreedLeader(): Promise<number | undefined> {
    const states = await this.#each((member) => this.#state(member));
    const votes = new Map<string, number>();
    for (const { leader } of states) if (leader !== undefined) votes.set(leader, (votes.get(leader) ?? 0) + 1);
    const [elected] = [...votes].find(([, count]) => count > states.length / 2) ?? [];
    const index = states.findIndex(({ id }) => id !== undefined && id === elected);
    return index === -1 ? undefined : index + 1;
  }

  async #state(member: number): Promise<{ id?: string | undefined; leader?: string | undefined }> {
    const answer = await this.#ask(member, "/v3/maintenance/status", "{}");
    const { header, leader } = (answer ?? {}) as { header?: { member_id: string }; leader?: string };
    return { id: header?.member_id, leader: leader === "0" ? undefined : leader };
  }

  /** Asks from where the member is, so that no cut is in the way. @returns nothing when it does not answer */
  async #ask(member: number, path: string, body?: string): Promise<unknown> {
    const { address, clientPort } = this.#member(member);
    const data = body === undefined ? [] : ["-d", body];
    const argv = ["curl", "-s", "-m", "2", ...data, `http://${address}:${clientPort}${path}`];
    const { stdout, exitCode } = await runCommand(this.#member(member).enter(argv), { reject: false });
    return exitCode === 0 ? JSON.parse(stdout) : undefined;
  }

  #etcdctl(endpoints: readonly string[], args: readonly string[]): Promise<string> {
    return this.#run(1, ["env", "ETCDCTL_API=3", "etcdctl", `--endpoints=${endpoints.join(",")}`, ...args]);
  }

  async #run(member: number, argv: readonly string[]): Promise<string> {
    return (await runCommand(this.#member(member).enter(argv))).stdout;
  }

  #membership(member: number): string[] {
    const all = this.#members.map((each) => `${each.name}=${peerUrl(each)}`).join(",");
    const own = `--initial-advertise-peer-urls=${peerUrl(this.#member(member))}`;
    return [`--initial-cluster=${all}`, `--initial-cluster-token=${this.#token}`, own];
  }

  #data(member: number): string {
    return join(this.folder, this.#member(member).name);
  }

  #member(member: number): Member {
    const found = this.#members[member - 1];
    if (found === undefined) throw new Error(`etcd has members 1 to ${this.#members.length}, not ${member}`);
    return found;
  }

  #each<T>(act: (member: number) => Promise<T>): Promise<T[]> {
    return Promise.all(this.#members.map((_, index) => act(index + 1)));
  }
}

function commandLine(member: Member, data: string): string[] {
  const clientUrl = `http://${member.address}:${member.clientPort}`;
  return [
    "etcd",
    `--name=${member.name}`,
    `--data-dir=${data}`,
    `--listen-client-urls=${clientUrl}`,
    `--advertise-client-urls=${clientUrl}`,
    `--listen-peer-urls=${peerUrl(member)}`,
    "--logger=zap",
    "--log-outputs=stderr",
  ];
}

function peerUrl({ address, peerPort }: Seat): string {
  return `http://${address}:${peerPort}`;
}

function seatAt({ address, netns }: EtcdPlace): Seat {
  const before = netns === undefined ? [] : ["nsenter", `--net=${netns}`, "--"];
  return { ...usualPorts, address, enter: (argv) => [...before, ...argv] };
}

async function loopbackSeats(count: number): Promise<Seat[]> {
  const ports = await freePorts(2 * count);
  return Array.from({ length: count }, (_, index) => ({
    ...seatAt({ address: "127.0.0.1" }),
    clientPort: ports[2 * index]!,
    peerPort: ports[2 * index + 1]!,
  }));
}

/** Ports of the loopback address that nobody has, until somebody takes them. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}
