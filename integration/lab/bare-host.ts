import { runCommand, type CommandOptions, type CommandResult } from "./command.js";
import type { TestOwner } from "./docker-host.js";
import { HelperProcess } from "./helper-process.js";
import { Namespaces } from "./namespaces.js";
import { Outside, type OutsideOptions } from "./outside.js";
import { Pontoon, type PontoonOptions } from "./pontoon.js";
import type { Uplink } from "./underlay.js";

/** How a host without Docker is started. */
export interface BareHostOptions {
  /** The content of the host's /etc/resolv.conf; default the machine's own. */
  resolvConf?: string;
  /** Its place among several hosts. */
  uplink?: Uplink;
}

/** A host without Docker for one test, in namespaces of its own as a {@link DockerHost} is. It ends with the test. */
export class BareHost {
  private constructor(private readonly namespaces: Namespaces) {}

  /** Starts a host that ends with the test `owner`. */
  static async start(owner: TestOwner, options: BareHostOptions = {}): Promise<BareHost> {
    const namespaces = await Namespaces.create();
    owner.teardown(() => namespaces.close());
    await options.uplink?.underlay.join(namespaces, options.uplink);
    if (options.resolvConf !== undefined) namespaces.writeFile("/etc/resolv.conf", options.resolvConf);
    return new BareHost(namespaces);
  }

  /** The host's name, unique on the machine. */
  get name(): string {
    return this.namespaces.name;
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
  exec(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return runCommand(this.namespaces.enter(argv), options);
  }

  /** Starts a helper program, which ends with the host at the latest. `file` is its path on the machine, `netns` one of the host. */
  helper<Request, Reply>(file: string, netns?: string): HelperProcess<Request, Reply> {
    const argv = [process.execPath, file];
    return new HelperProcess(
      netns === undefined ? this.namespaces.enter(argv) : this.namespaces.enter(argv, this.namespaces.path(netns)),
    );
  }

  /** Sends a signal to processes of the host, named by their numbers inside. */
  signal(signal: NodeJS.Signals, ...pids: number[]): Promise<void> {
    return this.namespaces.signal(signal, ...pids);
  }

  /** Creates a network namespace beyond the host's default route, for servers and clients. */
  outside(options?: OutsideOptions): Promise<Outside> {
    return Outside.create(this.namespaces, options);
  }

  /** Starts the daemon under test in the host, with `--docker none` unless its configuration says so, and waits until it is ready. */
  pontoon(options: PontoonOptions = {}): Promise<Pontoon> {
    const { config, args = [] } = options;
    const flags = config?.includes("docker:") === true ? [] : ["--docker=none"];
    return Pontoon.start(this.namespaces, { ...options, args: [...flags, ...args] });
  }
}
