import { runCommand, type CommandOptions, type CommandResult } from "./command.js";
import type { DnsResponse } from "./dns-message.js";
import type { Engine } from "./engine.js";
import { Flow, type FlowOptions } from "./flow.js";
import type { Namespaces } from "./namespaces.js";
import { Probe, type DigOptions, type SendOptions } from "./probe.js";
import { Upstream } from "./upstream.js";

/** What `docker inspect` says about a container, as far as tests read it. */
export interface ContainerState {
  Id: string;
  Name: string;
  State: { Status: string; Running: boolean; Paused: boolean; Pid: number; ExitCode: number };
  NetworkSettings: {
    SandboxKey: string;
    Networks: Record<string, EndpointState>;
    Ports: Record<string, { HostIp: string; HostPort: string }[] | null>;
  };
}

/** What Docker says about a container on one network. */
export interface EndpointState {
  IPAddress: string;
  GlobalIPv6Address: string;
  MacAddress: string;
  EndpointID: string;
  Aliases: string[] | null;
}

/** A container of a test host. Names and addresses are asked of Docker each time, since both may change. */
export class Container {
  #probe: Probe | undefined;

  constructor(
    readonly id: string,
    private readonly engine: Engine,
    private readonly namespaces: Namespaces,
  ) {}

  /** What Docker says about the container now. */
  async inspect(): Promise<ContainerState> {
    return (await this.engine.get(`/containers/${this.id}/json`)) as ContainerState;
  }

  /** The container's name, without Docker's slash. */
  async name(): Promise<string> {
    return (await this.inspect()).Name.slice(1);
  }

  /** The process id of the container's first process, as the host numbers it. */
  async pid(): Promise<number> {
    const { State } = await this.inspect();
    if (State.Pid === 0) throw new Error(`container ${this.id.slice(0, 12)} is ${State.Status}, so it has no process`);
    return State.Pid;
  }

  /** The container's IPv4 address on a network. */
  async ip(network: string): Promise<string> {
    return (await this.#endpoint(network)).IPAddress;
  }

  /** The container's IPv6 address on a network. */
  async ip6(network: string): Promise<string> {
    return (await this.#endpoint(network)).GlobalIPv6Address;
  }

  /** Where the machine sees the container's network namespace. */
  async netns(): Promise<string> {
    return this.namespaces.netnsOf(await this.pid());
  }

  /**
   * Runs a command in the container, with the image's files, and with all privileges: it enters the namespaces
   * instead of going through `docker exec`, which takes tens of milliseconds. `host.docker("exec", …)` is the real thing.
   */
  async exec(argv: readonly string[], options?: CommandOptions): Promise<CommandResult> {
    const enter = [
      "nsenter",
      `--target=${await this.pid()}`,
      "--mount",
      "--net",
      "--ipc",
      "--uts",
      "--pid",
      "--",
      ...argv,
    ];
    return runCommand(this.namespaces.enter(enter), options);
  }

  /** Asks the container's resolver for a name, from inside the container. */
  async dig(name: string, type?: string, options?: DigOptions): Promise<DnsResponse> {
    return (await this.probe()).dig(name, type, options);
  }

  /** Sends bytes to the container's resolver and returns the bytes it answers. */
  async query(bytes: Uint8Array, options?: SendOptions): Promise<Buffer> {
    return (await this.probe()).query(bytes, options);
  }

  /** Runs the machine's `dig` in the container's network namespace, asking the container's resolver. */
  async digCommand(...args: string[]): Promise<CommandResult> {
    return runCommand(this.namespaces.enter(["dig", "@127.0.0.11", ...args], await this.netns()), { reject: false });
  }

  /** Starts an even flow of queries for a name that has an address; see {@link Flow}. */
  async flow(name: string, options?: FlowOptions): Promise<Flow> {
    return Flow.start(this.namespaces, await this.netns(), name, options);
  }

  /** The probe in the container's network namespace; started when first used. */
  async probe(): Promise<Probe> {
    if (this.#probe?.alive) return this.#probe;
    const pid = await this.pid();
    return (this.#probe = new Probe(this.namespaces, this.namespaces.netnsOf(pid), pid));
  }

  /** Starts a DNS server inside its network namespace, as a proxy of the container's own; it ends with the host. */
  async dns(port: number): Promise<Upstream> {
    return Upstream.start(this.namespaces, await this.netns(), { address: "127.0.0.1", port, niceness: 0 });
  }

  /** Takes the probe out of the container's namespace. Stopping, killing, restarting and removing do so by themselves. */
  async releaseProbe(): Promise<void> {
    const probe = this.#probe;
    this.#probe = undefined;
    await probe?.release();
  }

  start(): Promise<void> {
    return this.#act("start");
  }

  async stop(): Promise<void> {
    await this.releaseProbe();
    await this.#act("stop");
  }

  async restart(): Promise<void> {
    await this.releaseProbe();
    await this.#act("restart");
  }

  async kill(signal = "SIGKILL"): Promise<void> {
    await this.releaseProbe();
    await this.#act(`kill?signal=${signal}`);
  }

  pause(): Promise<void> {
    return this.#act("pause");
  }

  unpause(): Promise<void> {
    return this.#act("unpause");
  }

  rename(name: string): Promise<void> {
    return this.#act(`rename?name=${encodeURIComponent(name)}`);
  }

  /** Removes the container, also when it runs. */
  async remove(): Promise<void> {
    await this.releaseProbe();
    await this.engine.delete(`/containers/${this.id}?force=true&v=true`);
  }

  async #act(action: string): Promise<void> {
    await this.engine.post(`/containers/${this.id}/${action}`);
  }

  async #endpoint(network: string): Promise<EndpointState> {
    const { NetworkSettings } = await this.inspect();
    const endpoint = NetworkSettings.Networks[network];
    if (endpoint === undefined) throw new Error(`container ${this.id.slice(0, 12)} is not on ${network}`);
    return endpoint;
  }
}
