import { EtcdCluster, Underlay } from "../../integration/lab/index.js";
import type { HelperProcess } from "../../integration/lab/helper-process.js";
import type { Undo } from "../lib/cleanup.js";
import { controlPost } from "../network/control.js";
import type { NameReply, NameRequest } from "./name-child.js";
import { near, network } from "./names.js";
import { command, createNetwork, namespaceOf, startHost, type PontoonHost } from "./pontoon.js";
import { programs } from "./programs.js";
import { see, type Seen } from "./seen.js";

/** Many hosts without Docker, each with pontoon's daemon, and one network over them. The first is looked at. */
export class Crowd {
  readonly #hosts: PontoonHost[] = [];
  #asking: HelperProcess<NameRequest, NameReply> | undefined;

  private constructor(
    private readonly undo: Undo,
    private readonly underlay: Underlay,
    private readonly etcd: EtcdCluster,
  ) {}

  /** Starts the first host, with an endpoint on the network. */
  static async start(undo: Undo): Promise<Crowd> {
    const underlay = await Underlay.start(undo);
    const crowd = new Crowd(undo, underlay, await EtcdCluster.on(underlay));
    await crowd.grow(1);
    const first = crowd.#hosts[0]!;
    await createNetwork(first);
    await command(first, "sandbox", "create", near, "--network", network);
    crowd.#asking = first.host.helper(programs.name, namespaceOf(near));
    return crowd;
  }

  get size(): number {
    return this.#hosts.length;
  }

  /** Starts hosts, one after the other, until there are so many. */
  async grow(size: number): Promise<void> {
    while (this.size < size) this.#hosts.push(await startHost(this.undo, this.underlay, this.etcd, this.size + 1));
  }

  /** Makes an endpoint on one of the hosts, counted from 0. */
  async endpoint(host: number, name: string): Promise<void> {
    await controlPost(this.#hosts[host]!.host)("/v1/sandboxes", { name, networks: [network] });
  }

  /** Waits until the first host resolves a name. */
  async untilNamed(name: string): Promise<void> {
    await this.#asking!.call({ name, until: "there" });
  }

  /** What the first host has, and has been told so far. */
  see(): Seen {
    return see(this.#hosts[0]!);
  }
}
