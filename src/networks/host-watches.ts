import type { Poller } from "../../linux/poller.js";
import { addressChanges, linkChanges, queueChanges } from "../../linux/netlink/rule-news.js";
import type { PluginRegistry } from "./plugin/plugin-registry.js";
import type { NetworkDefaults } from "./network-defaults.js";
import { NeighbourRounds } from "./overlay/neighbour-rounds.js";
import type { PrefixFollower } from "./prefix-follower.js";
import type { Reconciler } from "./reconciler.js";
import type { Registry } from "./registry.js";
import { RuleWatch } from "./rule-watch.js";

/** What of the host is watched for as long as something of ours depends on it. */
export class HostWatches {
  readonly #rules: RuleWatch;
  readonly #queues: RuleWatch;
  readonly #links: RuleWatch;
  readonly #addresses: RuleWatch;
  readonly #neighbours: NeighbourRounds;

  constructor(
    poller: Poller,
    reconciler: Reconciler,
    private readonly known: {
      readonly registry: Registry;
      readonly records: PluginRegistry;
      readonly defaults: Pick<NetworkDefaults, "firewall">;
    },
    follower: PrefixFollower,
    tell: () => void,
  ) {
    this.#rules = new RuleWatch(poller, () => reconciler.mendFirewall());
    this.#queues = new RuleWatch(poller, () => reconciler.mendQueues(), queueChanges);
    this.#links = new RuleWatch(poller, () => reconciler.mendProxies(), linkChanges);
    const follow = () =>
      reconciler.background("prefixes of links could not be looked at", async () => {
        await follower.follow();
        tell();
      });
    this.#addresses = new RuleWatch(poller, follow, addressChanges);
    this.#neighbours = new NeighbourRounds(() => reconciler.mendNeighbours());
  }

  /** Networks and endpoints may be others than before. */
  review(): void {
    const { registry, records, defaults } = this.known;
    const own = [...registry.networks.values()];
    const all = [...own, ...records.networks.values()];
    const places = [...registry.endpoints.values(), ...records.endpoints.values()];
    watch(this.#rules, defaults.firewall && all.some(({ firewall }) => firewall));
    watch(
      this.#queues,
      places.some(({ bandwidth }) => bandwidth),
    );
    watch(
      this.#links,
      own.some(({ ndpProxy }) => ndpProxy),
    );
    watch(
      this.#addresses,
      own.some(({ subnets }) => subnets.some(({ from }) => from)),
    );
    if (own.some(({ id, overlay }) => overlay && registry.endpointsOn(id) > 0)) this.#neighbours.start();
    else this.#neighbours.stop();
  }

  /** Can be called twice. */
  async stop(): Promise<void> {
    this.#neighbours.stop();
    for (const each of [this.#rules, this.#queues, this.#links, this.#addresses]) await each.stop();
  }
}

function watch(what: RuleWatch, isNeeded: boolean): void {
  if (isNeeded) what.start();
  else void what.stop();
}
