import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { hostEnvironment, runCommand } from "./command.js";
import type { Server, Uplink, Underlay } from "./underlay.js";
import { until } from "./until.js";

const clientPort = 2379;
const peerPort = 2380;
/** Where the first member is on the underlay; the others follow. */
const firstNumber = 101;

interface Member {
  readonly server: Server;
  readonly argv: readonly string[];
  process: ChildProcess | undefined;
  /** Inside the underlay. */
  pid: number;
}

export interface HostsEtcdOptions {
  /** Default 3. */
  readonly members?: number;
  /** A command that is to run a member: the member's own comes behind it. */
  readonly inFront?: (member: number) => readonly string[];
}

/**
 * A cluster of real etcd processes on an underlay, each with an address of its own from 10.99.0.101 on, for hosts to
 * agree through. Members are numbered from 1. Their data is in memory and goes with the underlay, as they do.
 */
export class HostsEtcd {
  private constructor(
    private readonly underlay: Underlay,
    private readonly members: readonly Member[],
  ) {}

  /** Starts a cluster and waits until every member is healthy. */
  static async start(underlay: Underlay, options: HostsEtcdOptions = {}): Promise<HostsEtcd> {
    const numbers = Array.from({ length: options.members ?? 3 }, (_, index) => firstNumber + index);
    const servers = await Promise.all(numbers.map((number) => underlay.server(number)));
    const members = servers.map((server) => ({
      server,
      argv: [...(options.inFront?.(servers.indexOf(server) + 1) ?? []), ...commandLine(server, servers)],
      process: undefined,
      pid: 0,
    }));
    const cluster = new HostsEtcd(underlay, members);
    await Promise.all(members.map((_, index) => cluster.#spawn(index + 1)));
    await Promise.all(members.map((_, index) => cluster.untilHealthy(index + 1)));
    return cluster;
  }

  /** `10.99.0.101:2379,10.99.0.102:2379`, as daemons take it after `etcd://`. */
  get endpoints(): string {
    return this.members.map(({ server }) => `${server.uplink.address}:${clientPort}`).join(",");
  }

  /** What dockerd takes, until 20.10, for its own overlay networks to be shared through this cluster. */
  dockerFlags(uplink: Uplink): string[] {
    return [`--cluster-store=etcd://${this.endpoints}`, `--cluster-advertise=${uplink.address}:2376`];
  }

  /** Where a member is, for cuts. */
  uplink(member: number): Uplink {
    return this.#member(member).server.uplink;
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

  /** The number of the member that a majority of those that answer takes for the leader; waits until there is one. */
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
    const { process, pid } = this.#member(member);
    if (process === undefined) return;
    const exit = once(process, "exit");
    await this.underlay.signal("SIGKILL", pid);
    await exit;
  }

  /** Starts a member that has been killed with the data it had. Does not wait until it is healthy. */
  async restart(member: number): Promise<void> {
    await this.kill(member);
    await this.#spawn(member);
  }

  /** Stops a member by SIGSTOP: its connections stay open, and nothing is answered. */
  stop(member: number): Promise<void> {
    return this.underlay.signal("SIGSTOP", this.#member(member).pid);
  }

  /** Lets a stopped member go on. */
  continue(member: number): Promise<void> {
    return this.underlay.signal("SIGCONT", this.#member(member).pid);
  }

  /** Runs etcdctl where the first member is, told of all. @returns what it printed */
  async etcdctl(...args: string[]): Promise<string> {
    const argv = ["env", "ETCDCTL_API=3", "etcdctl", `--endpoints=${this.endpoints}`, ...args];
    return (await runCommand(this.#member(1).server.enter(argv))).stdout;
  }

  /** Ends all members and starts them with nothing in them, as another cluster: what they had is lost. */
  async wipe(): Promise<void> {
    const numbers = this.members.map((_, index) => index + 1);
    await Promise.all(numbers.map((number) => this.kill(number)));
    for (const { server } of this.members)
      await runCommand(server.enter(["rm", "-rf", `/run/host/etcd/${server.uplink.number}`]));
    await Promise.all(numbers.map((number) => this.#spawn(number)));
    await Promise.all(numbers.map((number) => this.untilHealthy(number)));
  }

  async #agreedLeader(): Promise<number | undefined> {
    const states = await Promise.all(this.members.map((_, index) => this.#state(index + 1)));
    const votes = new Map<string, number>();
    for (const { leader } of states) if (leader !== undefined) votes.set(leader, (votes.get(leader) ?? 0) + 1);
    const [elected] = [...votes].find(([, count]) => count > this.members.length / 2) ?? [];
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
    const { server } = this.#member(member);
    const url = `http://${server.uplink.address}:${clientPort}${path}`;
    const argv = ["curl", "-s", "-m", "2", ...(body === undefined ? [] : ["-d", body]), url];
    const { stdout, exitCode } = await runCommand(server.enter(argv), { reject: false });
    return exitCode === 0 ? JSON.parse(stdout) : undefined;
  }

  #member(member: number): Member {
    const found = this.members[member - 1];
    if (found === undefined) throw new Error(`etcd has members 1 to ${this.members.length}, not ${member}`);
    return found;
  }

  async #spawn(number: number): Promise<void> {
    const member = this.#member(number);
    // A shell between nsenter and etcd: nsenter would stop together with a member that is stopped, and stay so for ever.
    // The shell would also tell the terminal of each death.
    const run = `exec 2>>/run/host/etcd-${number}.log; "$@" >&2 & echo $!; wait $!`;
    const [command = "", ...args] = member.server.enter(["sh", "-c", run, "sh", ...member.argv]);
    // Not by execa, which would wait for its end: it lives until it is killed, or the underlay ends.
    const child = spawn(command, args, { env: hostEnvironment, detached: true, stdio: ["ignore", "pipe", "inherit"] });
    child.on("exit", () => (member.process = undefined));
    member.process = child;
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    member.pid = Number(line.toString());
  }
}

function commandLine({ uplink }: Server, all: readonly Server[]): string[] {
  const name = ({ number }: Uplink) => `etcd${number}`;
  const peer = ({ address }: Uplink) => `http://${address}:${peerPort}`;
  const client = `http://${uplink.address}:${clientPort}`;
  return [
    "etcd",
    `--name=${name(uplink)}`,
    `--data-dir=/run/host/etcd/${uplink.number}`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer(uplink)}`,
    `--initial-advertise-peer-urls=${peer(uplink)}`,
    `--initial-cluster=${all.map((each) => `${name(each.uplink)}=${peer(each.uplink)}`).join(",")}`,
    "--initial-cluster-token=lab",
    "--enable-v2", // what Docker 20.10 speaks
  ];
}
