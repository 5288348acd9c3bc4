import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, openSync, closeSync, readFileSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand, type CommandResult } from "./command.js";
import { until } from "./until.js";
import type { TestOwner } from "./docker-host.js";

/** Where a member runs. */
export interface EtcdPlace {
  /** The address on which it answers clients and members. */
  readonly address: string;
  /** The path of the network namespace that it runs in; that of this process if there is none. */
  readonly netns?: string;
}

/** What a cluster is made of. */
export interface EtcdOptions {
  /** One member for each; three on this machine's loopback address if only a number is given. */
  readonly members: number | readonly EtcdPlace[];
  /** Further options of etcd's. */
  readonly arguments?: readonly string[];
}

/** Reason to skip what needs etcd; false where it is installed. */
export const withoutEtcd: string | false =
  existsSync("/usr/bin/etcd") && existsSync("/usr/bin/etcdctl")
    ? false
    : "needs etcd (Debian: etcd-server, etcd-client)";

interface Member extends EtcdPlace {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
  process: ChildProcess | undefined;
}

/** What etcdctl says of a member; both numbers are rounded alike. */
interface EtcdctlStatus {
  readonly Status: { readonly header: { readonly member_id: number }; readonly leader?: number };
}

let made = 0;

/** Members of etcd, each a process of its own, that forget everything with the test. */
export class EtcdCluster {
  readonly #token = `pontoon-test-${process.pid}-${++made}`;

  private constructor(
    /** Of this cluster alone: data of members, and what a test puts there. */
    readonly folder: string,
    private readonly members: readonly Member[],
    private readonly options: readonly string[],
  ) {}

  /** Starts the members; they have a leader when the promise resolves, and end with the test. */
  static async start(owner: TestOwner, { members, arguments: options = [] }: EtcdOptions): Promise<EtcdCluster> {
    const places: readonly EtcdPlace[] =
      typeof members === "number" ? Array.from({ length: members }, () => ({ address: "127.0.0.1" })) : members;
    const ports = await freePorts(2 * places.length);
    const named = places.map((place, index) => ({
      ...place,
      name: `member${index + 1}`,
      clientPort: place.netns === undefined ? ports[2 * index]! : 2379,
      peerPort: place.netns === undefined ? ports[2 * index + 1]! : 2380,
      process: undefined,
    }));
    const cluster = new EtcdCluster(mkdtempSync(join(tmpdir(), "etcd-")), named, options);
    owner.teardown(() => cluster.close());
    for (const index of named.keys()) cluster.startMember(index);
    await cluster.leader();
    return cluster;
  }

  /** `HOST:PORT` of each member. */
  get endpoints(): readonly string[] {
    return this.members.map(({ address, clientPort }) => `${address}:${clientPort}`);
  }

  /** What `--store` takes. */
  get url(): string {
    return `etcd://${this.endpoints.join(",")}`;
  }

  /** Starts a member that does not run, with the data that it had. */
  startMember(index: number, state: "new" | "existing" = "new"): void {
    const member = this.members[index]!;
    if (member.process) throw new Error(`${member.name} runs already`);
    const log = openSync(join(this.folder, `${member.name}.log`), "a");
    const argv = this.#enter(member, ["etcd", ...this.#arguments(member, state)]);
    member.process = spawn(argv[0]!, argv.slice(1), { stdio: ["ignore", log, log] });
    closeSync(log);
  }

  /** Ends a member at once. Resolves when it is gone. */
  async kill(index: number, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const { process: child } = this.members[index]!;
    this.members[index]!.process = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill(signal);
    await exit;
  }

  /** Sends a signal to a member: SIGSTOP and SIGCONT leave it what it is. */
  signal(index: number, signal: NodeJS.Signals): void {
    this.members[index]!.process?.kill(signal);
  }

  /** The number of the member that leads. Waits for one. */
  async leader(): Promise<number> {
    const options = { what: "a leader of etcd", timeoutMs: 10_000, everyMs: 100 };
    return (await until(() => this.#askLeader(), options))!.leader;
  }

  /** Runs etcdctl against a member. Rejects with CommandError. */
  etcdctl(index: number, ...argv: string[]): Promise<CommandResult> {
    const member = this.members[index]!;
    const command = ["etcdctl", `--endpoints=${this.endpoints[index]}`, "--command-timeout=3s", ...argv];
    return runCommand(this.#enter(member, ["env", "ETCDCTL_API=3", ...command]));
  }

  /**
   * Ends all members, gives them what a file of `etcdctl snapshot save` has, and starts them again: as the cluster that it was,
   * or, with a token, as another one.
   */
  async restore(file: string, token = this.#token): Promise<void> {
    for (const index of this.members.keys()) await this.kill(index);
    for (const [index, member] of this.members.entries()) {
      rmSync(this.#data(member), { recursive: true, force: true });
      await this.etcdctl(
        index,
        ...["snapshot", "restore", file, `--name=${member.name}`, `--data-dir=${this.#data(member)}`],
        ...[`--initial-cluster=${this.#peers}`, `--initial-cluster-token=${token}`],
        `--initial-advertise-peer-urls=${peerUrl(member)}`,
      );
    }
    for (const index of this.members.keys()) this.startMember(index);
    await this.leader();
  }

  /** What a member has written. */
  log(index: number): string {
    return readFileSync(join(this.folder, `${this.members[index]!.name}.log`), "utf8");
  }

  async close(): Promise<void> {
    await Promise.all(this.members.map((_, index) => this.kill(index)));
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #askLeader(): Promise<{ readonly leader: number } | undefined> {
    for (const [index, member] of this.members.entries()) {
      if (!member.process) continue;
      const { stdout } = await this.etcdctl(index, "endpoint", "status", "--write-out=json");
      const [{ Status: status }] = JSON.parse(stdout) as [EtcdctlStatus];
      if (status.leader !== undefined && status.leader === status.header.member_id) return { leader: index };
    }
    return undefined;
  }

  get #peers(): string {
    return this.members.map((member) => `${member.name}=${peerUrl(member)}`).join(",");
  }

  #data({ name }: Member): string {
    return join(this.folder, name);
  }

  #enter({ netns }: Member, argv: readonly string[]): string[] {
    return netns === undefined ? [...argv] : ["nsenter", `--net=${netns}`, "--", ...argv];
  }

  #arguments(member: Member, state: string): string[] {
    const clientUrl = `http://${member.address}:${member.clientPort}`;
    return [
      `--name=${member.name}`,
      `--data-dir=${this.#data(member)}`,
      `--listen-client-urls=${clientUrl}`,
      `--advertise-client-urls=${clientUrl}`,
      `--listen-peer-urls=${peerUrl(member)}`,
      `--initial-advertise-peer-urls=${peerUrl(member)}`,
      `--initial-cluster=${this.#peers}`,
      `--initial-cluster-token=${this.#token}`,
      `--initial-cluster-state=${state}`,
      "--logger=zap",
      "--log-outputs=stderr",
      ...this.options,
    ];
  }
}

function peerUrl({ address, peerPort }: Member): string {
  return `http://${address}:${peerPort}`;
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
