import { spawn } from "node:child_process";
import { once } from "node:events";
import { runCommand, type CommandOptions, type CommandResult } from "./command.js";
import { Container } from "./container.js";
import { Dockerd } from "./dockerd.js";
import { Engine } from "./engine.js";
import { HelperProcess } from "./helper-process.js";
import { busyboxArchive } from "./image.js";
import { joinHosts, type Link, type LinkOptions } from "./link.js";
import { Namespaces } from "./namespaces.js";
import { connectNetwork, Network, type JoinOptions, type NetworkOptions } from "./network.js";
import { Outside, type OutsideOptions } from "./outside.js";
import { Pontoon, type PontoonOptions } from "./pontoon.js";
import type { Uplink } from "./underlay.js";
import { requestUnix } from "./unix-http.js";
import { until } from "./until.js";
import { Visitor } from "./visitor.js";

/** What a host needs of a tap test: to be told when it is over. */
export interface TestOwner {
  teardown(handler: () => Promise<void>): unknown;
}

/** How a host is started. */
export interface DockerHostOptions {
  /** More arguments for dockerd. */
  dockerd?: string[];
  /** More environment for dockerd, which its docker-proxies inherit. */
  env?: Record<string, string>;
  /** Containers outlive dockerd. */
  liveRestore?: boolean;
  /** The content of the host's /etc/resolv.conf; default the machine's own. */
  resolvConf?: string;
  /** The host's first process is systemd, and dockerd the service of its Debian package: `exec` systemctl to steer it. */
  systemd?: boolean;
  /** Its place among several hosts, which it has before dockerd starts. */
  uplink?: Uplink;
}

/** Where and how a command is run in a host. */
export interface ExecOptions extends CommandOptions {
  /** A container whose network namespace the command gets; all else, files included, stays the host's. */
  netns?: Container | string;
}

/** How a container is made. */
export interface ContainerOptions {
  name?: string;
  image?: string;
  /** Networks it is on before it starts; without any it is on Docker's default bridge. */
  networks?: (string | ({ name: string } & JoinOptions))[];
  command?: string[];
  /** More options of `docker create`. */
  options?: string[];
  /** Whether it is started. Default true. */
  start?: boolean;
}

/**
 * A Docker host for one test, or for one file of tests: an unmodified dockerd in namespaces of its own, sharing
 * neither sockets, firewall, interfaces, processes nor settings with the machine. It ends with the test.
 */
export class DockerHost {
  /** The engine API, for what has no method here. */
  readonly engine: Engine;
  readonly dockerd: Dockerd;
  /** What dockerd says its version is, `20.10.24+dfsg1`. */
  version = "";

  private constructor(
    private readonly namespaces: Namespaces,
    args: readonly string[],
    env: Readonly<Record<string, string>>,
  ) {
    this.engine = new Engine(namespaces.path("/run/docker.sock"));
    this.dockerd = new Dockerd(namespaces, this.engine, args, env);
  }

  /** Starts a host that ends with the test `owner`. */
  static async start(owner: TestOwner, options: DockerHostOptions = {}): Promise<DockerHost> {
    const namespaces = await Namespaces.create(options.systemd ? "systemd" : "plain");
    const args = [...(options.liveRestore ? ["--live-restore"] : []), ...(options.dockerd ?? [])];
    const host = new DockerHost(namespaces, args, options.env ?? {});
    owner.teardown(async () => {
      await namespaces.close();
      await host.dockerd.release();
    });
    if (options.resolvConf !== undefined) host.writeFile("/etc/resolv.conf", options.resolvConf);
    await options.uplink?.underlay.join(namespaces, options.uplink);
    const [archive] = await Promise.all([
      busyboxArchive(),
      options.systemd ? host.#startDockerService(args) : host.dockerd.start(),
    ]);
    await host.#importImage(archive);
    host.version = ((await host.engine.get("/version")) as { Version: string }).Version;
    return host;
  }

  /** The host's name, unique on the machine. */
  get name(): string {
    return this.namespaces.name;
  }

  /** dockerd's major version: what tests expect differs with it in places, each with the reason. */
  get major(): number {
    return parseInt(this.version, 10);
  }

  /** Docker 25 to 27 write into a container's resolv.conf whom they ask for it from there, and ask just those while it runs. */
  get statesUpstreams(): boolean {
    return this.major >= 25 && this.major < 28;
  }

  /** From where Docker asks a server of the host's resolv.conf: from Docker 28 on from the host. */
  get asksFrom(): "host" | "container" {
    return this.major >= 28 ? "host" : "container";
  }

  /** Docker 28 and later bind a published port themselves, and pass their docker-proxy the socket. */
  get bindsPorts(): boolean {
    return this.major >= 28;
  }

  /** Where the machine sees a file of the host, sockets and /proc included. */
  path(file: string): string {
    return this.namespaces.path(file);
  }

  /** Writes a file of the host; below /etc, /opt, /run and /var/lib this leaves the machine's own alone. */
  writeFile(file: string, content: string): void {
    this.namespaces.writeFile(file, content);
  }

  /** Runs a program of the machine in the host. */
  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<CommandResult> {
    const { netns, ...rest } = options;
    if (netns === undefined) return runCommand(this.namespaces.enter(argv), rest);
    const container = typeof netns === "string" ? this.#containerOf(netns) : netns;
    return runCommand(this.namespaces.enter(argv, await container.netns()), rest);
  }

  /**
   * Starts a program that tells its process id in its first line, and runs on until it is killed by that, or the host ends.
   * @returns its process id inside the host
   */
  async startProgram(argv: readonly string[], { netns }: { netns?: Container } = {}): Promise<number> {
    const [command = "", ...args] = this.namespaces.enter(argv, await netns?.netns());
    // Its first line is waited for, and never its end: execa would gather what nobody reads.
    const child = spawn(command, args, { detached: true, stdio: ["ignore", "pipe", "inherit"] });
    const ended = once(child, "exit").then(() => Promise.reject(new Error(`it ended at once: ${argv.join(" ")}`)));
    const [line] = (await Promise.race([once(child.stdout, "data"), ended])) as [Buffer];
    ended.catch(() => undefined); // it is killed some day
    return Number(line.toString());
  }

  /** Starts a helper program, which ends with the host at the latest. `file` is its path on the machine, `netns` one of the host. */
  helper<Request, Reply>(file: string, netns?: string): HelperProcess<Request, Reply> {
    const argv = [process.execPath, file];
    return new HelperProcess(
      netns === undefined ? this.namespaces.enter(argv) : this.namespaces.enter(argv, this.namespaces.path(netns)),
    );
  }

  /** Runs the docker command and returns what it printed. */
  async docker(...args: string[]): Promise<string> {
    return (await this.exec(["docker", ...args])).stdout.trim();
  }

  /** Sends a signal to processes of the host, named by their numbers inside. */
  signal(signal: NodeJS.Signals, ...pids: number[]): Promise<void> {
    return this.namespaces.signal(signal, ...pids);
  }

  /** Creates a container and starts it. By default it sleeps, and stops at once when told to. */
  async container(options: ContainerOptions = {}): Promise<Container> {
    const { name, image = "busybox", networks = [], command = ["sleep", "1000000"], start = true } = options;
    const joins = networks.map((network) => (typeof network === "string" ? { name: network } : network));
    const argv = [
      "create",
      "--stop-signal=KILL",
      ...(name === undefined ? [] : ["--name", name]),
      ...createOn(joins[0]),
    ];
    const container = this.#containerOf(await this.docker(...argv, ...(options.options ?? []), image, ...command));
    for (const join of joins.slice(1)) await connectNetwork(this.engine, join.name, container.id, join);
    if (start) await container.start();
    return container;
  }

  /** Creates a Docker network. */
  network(name: string, options?: NetworkOptions): Promise<Network> {
    return Network.create(this.engine, name, options);
  }

  /** Creates a network namespace beyond the host's default route, for upstream servers and clients. */
  outside(options?: OutsideOptions): Promise<Outside> {
    return Outside.create(this.namespaces, options);
  }

  /** Joins this host and another by a link of their own. */
  join(other: DockerHost, options?: LinkOptions): Promise<Link> {
    return joinHosts(this.namespaces, other.namespaces, options);
  }

  /** Starts the daemon under test in the host, and waits until it is ready. */
  pontoon(options?: PontoonOptions): Promise<Pontoon> {
    return Pontoon.start(this.namespaces, options);
  }

  /** A client of published ports on the host itself. */
  visitor(): Visitor {
    return new Visitor((argv) => this.namespaces.enter(argv));
  }

  /** Ends dockerd; the host stays. */
  stopDockerd(options: { signal?: NodeJS.Signals } = {}): Promise<void> {
    return this.dockerd.stop(options.signal);
  }

  /** Starts dockerd again and waits until it answers. */
  startDockerd(extraArgs?: readonly string[]): Promise<void> {
    return this.dockerd.start(extraArgs);
  }

  /** Ends dockerd and starts it again. */
  async restartDockerd(options?: { signal?: NodeJS.Signals }): Promise<void> {
    await this.stopDockerd(options);
    await this.startDockerd();
  }

  async #startDockerService(args: readonly string[]): Promise<void> {
    const options = [
      "--log-level=warn",
      "--storage-driver=overlay2",
      "--exec-opt=native.cgroupdriver=cgroupfs",
      ...args,
    ];
    this.writeFile("/etc/default/docker", `DOCKER_OPTS="${options.join(" ")}"\n`);
    await until(
      async () => (await this.exec(["systemctl", "is-system-running"], { reject: false })).stdout.trim() === "running",
      { timeoutMs: 30_000, what: "systemd is up" },
    );
    await this.exec(["systemctl", "start", "docker"]);
  }

  #containerOf(nameOrId: string): Container {
    return new Container(nameOrId, this.engine, this.namespaces);
  }

  async #importImage(archive: Buffer): Promise<void> {
    const path = "/images/create?fromSrc=-&repo=busybox&tag=latest";
    const attempt = async () => {
      const answer = await requestUnix(this.path("/run/docker.sock"), path, { method: "POST", body: archive });
      if (answer.status !== 200 || answer.body.includes('"error"')) throw new Error(answer.body);
      return true;
    };
    // On a starved machine a dockerd that has just started may hang up in the middle.
    await until(attempt, { what: "an image is imported", timeoutMs: 30_000 });
  }
}

function createOn(join: ({ name: string } & JoinOptions) | undefined): string[] {
  if (join === undefined) return [];
  const { name, aliases = [], links = [], ip, ip6 } = join;
  return [
    `--network=${name}`,
    ...aliases.map((alias) => `--network-alias=${alias}`),
    ...links.map((link) => `--link=${link}`),
    ...(ip === undefined ? [] : [`--ip=${ip}`]),
    ...(ip6 === undefined ? [] : [`--ip6=${ip6}`]),
  ];
}
