import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import t, { type Test } from "tap";
import { Cluster } from "../../src/cluster/cluster.js";
import { Membership } from "../../src/cluster/membership.js";
import { Mirror } from "../../src/cluster/mirror.js";
import type { HostRecord, SharedNetwork } from "../../src/cluster/records.js";
import { createSandboxRequest } from "../../src/networks/contract.js";
import { defineEndpoint } from "../../src/networks/define-endpoint.js";
import { defineSandbox } from "../../src/networks/define-sandbox.js";
import { NetworkAddresses } from "../../src/networks/network-addresses.js";
import { newId } from "../../src/networks/new-id.js";
import { claimFree } from "../../src/networks/overlay/claim-free.js";
import { Overlays } from "../../src/networks/overlay/overlays.js";
import { Queue } from "../../src/networks/queue.js";
import type { Reconciler } from "../../src/networks/reconciler.js";
import { Registry } from "../../src/networks/registry.js";
import { EmbeddedStore } from "../../src/store/embedded-store.js";
import { EtcdStore } from "../../src/store/etcd/etcd-store.js";
import { parseStoreUrl } from "../../src/store/etcd/store-url.js";
import { EtcdCluster, withoutEtcd } from "../lab/etcd.js";
import { until } from "../lab/until.js";

// Two hosts take 5,000 addresses of one network at once. A host of theirs is all of the daemon that takes part in that: what is
// registered, what it gives out, what it agrees on with the other in a real etcd, one thing after the other as a daemon does it.
// Only the kernel is left out: a bridge has 1,023 ports, so that no two hosts have so many on one network.

const each = 2_500;
const log = pino({ enabled: false });

t.test("two hosts take 5,000 addresses at once", { skip: withoutEtcd }, async (t) => {
  const etcd = await EtcdCluster.start(t, { members: 3 });
  const prefix = `/${randomUUID()}/`;
  const hosts = await Promise.all([1, 2].map((number) => Taker.start(t, etcd.url, prefix, number)));
  const [east, west] = hosts as [Taker, Taker];
  await east.createNetwork();
  await until(() => west.hasNetwork, { what: "the other host has the network" });

  const begun = performance.now();
  await Promise.all(hosts.map((host) => host.take(each)));
  const took = performance.now() - begun;
  const tried = hosts.map(({ refused }) => refused);
  t.comment(`${(took / 1000).toFixed(1)} s; transactions that were tried again: ${tried.join(" and ")}`);

  const { records } = await east.store.read("state/endpoints/");
  const stored = [...records.values()].map(({ value }) => value as { id: string; host: string; ipv4: string });
  t.equal(stored.length, 2 * each, "all have got one");
  t.equal(new Set(stored.map(({ ipv4 }) => ipv4)).size, 2 * each, "no address is there twice");
  t.equal((await east.store.read("taken/addresses/")).records.size, 2 * each, "nobody holds another");
  for (const host of hosts)
    t.same(
      host.registered(),
      stored
        .filter(({ host: id }) => id === host.id)
        .map(({ id, ipv4 }) => `${id} ${ipv4}`)
        .sort(),
      "what a host has is what the store says",
    );
  t.ok(tried.reduce((sum, count) => sum + count) > 0, "they have met");
  for (const host of hosts) await until(() => host.knows(2 * each), { what: "each host knows of all" });
});

class Taker {
  refused = 0;
  readonly #mirror = new Mirror();
  readonly #queue = new Queue();
  readonly #addresses = new NetworkAddresses();
  readonly #cluster: Cluster;
  readonly #overlays: Overlays;

  private constructor(
    t: Test,
    readonly store: EtcdStore,
    private readonly registry: Registry,
    private readonly host: HostRecord,
  ) {
    // Not the daemon's: its turns are real, and what it would tell the kernel is dropped.
    const reconciler = {
      background: (_what: string, turn: () => Promise<unknown>) => this.#queue.run(turn),
      neighbours: () => Promise.resolve(),
      change: () => Promise.resolve(),
      isUsed: (network: string) => registry.endpointsOn(network) > 0,
    } as unknown as Reconciler;
    this.#overlays = new Overlays({
      registry,
      reconciler,
      addresses: this.#addresses,
      log,
      tell: () => undefined,
      engine: () => undefined,
    });
    const identity = { host: host.id, cluster: undefined, joined: () => undefined };
    const membership = new Membership(store, this.#mirror, host, identity, log, {
      onChange: (change) => this.#overlays.onChange(change),
      onNetworksLost: (networks) => this.#overlays.onNetworksLost(networks),
      onJoined: () => this.#overlays.onJoined(),
    });
    const counting = {
      requireJoined: () => membership.requireJoined(),
      read: (below: string) => membership.read(below),
      commit: async (transaction: Parameters<Membership["commit"]>[0]) => {
        const committed = await membership.commit(transaction);
        if (committed.kind === "refused") this.refused++;
        return committed;
      },
    };
    this.#cluster = new Cluster(host, this.#mirror, counting, log);
    this.#overlays.use(this.#cluster);
    membership.start();
    t.teardown(() => {
      membership.stop();
      this.#overlays.stop();
    });
  }

  static async start(t: Test, url: string, prefix: string, number: number): Promise<Taker> {
    const folder = mkdtempSync(join(tmpdir(), "taker-"));
    const store = new EtcdStore({ endpoints: parseStoreUrl(url), prefix, log });
    const local = new EmbeddedStore(folder, ({ reason }) => t.fail(reason));
    local.open();
    t.teardown(async () => {
      await store.close();
      await local.close();
      rmSync(folder, { recursive: true });
    });
    const host = { id: newId(), name: `host${number}`, advertise: `10.99.0.${number}`, joined: "" };
    const taker = new Taker(t, store, new Registry(local), host);
    await until(() => taker.#isJoined, { what: `host ${number} has joined` });
    return taker;
  }

  get id(): string {
    return this.host.id;
  }

  get #isJoined(): boolean {
    try {
      this.#cluster.requireJoined();
      return true;
    } catch {
      return false;
    }
  }

  async createNetwork(): Promise<void> {
    const network: SharedNetwork = {
      ...{
        id: newId(),
        name: "demo",
        created: "",
        internal: false,
        masquerade: true,
        mtu: 1450,
        vni: 5000,
        labels: {},
      },
      subnets: [{ subnet: "10.88.0.0/16", gateway: "10.88.0.1" }],
    };
    await this.#queue.run(() => this.#overlays.create(() => network));
  }

  get hasNetwork(): boolean {
    return this.registry.networkNamed("demo") !== undefined;
  }

  /** One after the other, each in a turn of its own. */
  async take(count: number): Promise<void> {
    for (let index = 0; index < count; index++) await this.#queue.run(() => this.#take(`${this.host.name}-${index}`));
  }

  async #take(name: string): Promise<void> {
    const network = this.registry.network("demo");
    const sandbox = defineSandbox(createSandboxRequest.parse({ name }), this.registry, newId(), "");
    const request = { network: network.id, sandbox: sandbox.id, ips: [], aliases: [], links: [], gatewayPriority: 0 };
    const id = newId();
    const endpoint = await claimFree(
      { addresses: this.#addresses, overlays: this.#overlays },
      { network, sandbox, ips: [] },
      (given) => defineEndpoint(request, this.registry, { network, sandbox, given, id }),
    );
    this.registry.commit({ sandboxes: [sandbox], endpoints: [endpoint] });
  }

  /** Ids and addresses. */
  registered(): string[] {
    return [...this.registry.endpoints.values()].map(({ id, ipv4 }) => `${id} ${ipv4}`).sort();
  }

  knows(count: number): boolean {
    return [...this.#mirror.endpoints()].length === count;
  }
}
