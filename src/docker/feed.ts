import type { Logger } from "pino";
import { describeError, PontoonError } from "../../common/errors.js";
import type { Inventory } from "../inventory/inventory.js";
import { gatewayBridge, type Source } from "../inventory/source.js";
import type { Container } from "../inventory/types.js";
import type { Engine } from "./engine.js";
import type { DockerEvent } from "./events.js";
import { Joins } from "./joins.js";
import { InspectQueue } from "./inspect-queue.js";

const relistEvery = 60_000; // ms
/** When a look that failed is repeated, ms. While dockerd is away nothing is: its return brings a listing. */
const lookAgainAfter = 2000;
const listingAtMost = 10_000; // ms
const reconnectAfter = [100, 200, 500, 1000, 2000]; // ms
/** A container that stopped keeps its names until it has left its networks, or this long (ms) if Docker never says so. */
const leavingAtMost = 5000;

export type FeedState =
  | { readonly kind: "waiting"; readonly reason: string }
  /** Connecting, or looking at everything for the first time. */
  | { readonly kind: "listing" }
  | { readonly kind: "following"; readonly since: Date; readonly version: string }
  | { readonly kind: "stopped" };

export interface FeedEvents {
  /** The state or the set of joined networks has changed. */
  onState(): void;
  /** A dockerd is about to be followed; rejects when it must not be. */
  admit?(): Promise<void>;
}

/**
 * Keeps the inventory true to dockerd: subscribes, then lists, then applies; an event only says where to look again.
 * Goes on for ever: a dockerd that is absent, slow or restarted is waited for.
 */
export class Feed {
  state: FeedState = { kind: "listing" };
  readonly joins: Joins;
  /** This process was kept from running, and has not looked at everything again since. */
  isBehind = false;
  readonly #containers: InspectQueue;
  readonly #networks: InspectQueue;
  /** What dockerd tells goes here, and nothing of other sources is touched. */
  readonly #source: Source;
  readonly #leaving = new Map<string, NodeJS.Timeout>();
  #subscription: { close(): void } | undefined;
  #reconnect: NodeJS.Timeout | undefined;
  #relist: NodeJS.Timeout | undefined;
  /** Everything is being looked at, networks first. */
  #isListing = false;
  #failures = 0;
  /** Code of the reason why dockerd is not followed although it is there. */
  #refusal: string | undefined;
  #session = 0;

  constructor(
    private readonly engine: Engine,
    private readonly inventory: Inventory,
    private readonly log: Logger,
    private readonly events: FeedEvents,
  ) {
    this.#source = inventory.source("docker");
    this.joins = new Joins(() => events.onState());
    this.#containers = new InspectQueue(
      (id) => this.#lookAtContainer(id),
      (id, error) => this.#lookFailed("container", id, error),
    );
    this.#networks = new InspectQueue(
      (id) => this.#lookAtNetwork(id),
      (id, error) => this.#lookFailed("network", id, error),
    );
  }

  /** Major version of the engine; 0 while it is not followed. */
  get engineMajor(): number {
    return this.state.kind === "following" ? parseInt(this.state.version, 10) : 0;
  }

  start(): void {
    if (this.#session > 0) return;
    void this.#connect();
  }

  stop(): void {
    this.#session = Number.MAX_SAFE_INTEGER;
    this.#setState({ kind: "stopped" });
    this.#subscription?.close();
    clearTimeout(this.#reconnect);
    clearTimeout(this.#relist);
    for (const timer of this.#leaving.values()) clearTimeout(timer);
  }

  /** This process was kept from running: what has happened meanwhile is still on its way. Looks at everything again. */
  catchUp(): void {
    if (this.state.kind !== "following" || this.isBehind) return;
    const session = this.#session;
    this.#setBehind(true);
    void this.#relistWhile(() => this.#session === session).then(
      () => this.#session === session && this.#setBehind(false),
    );
  }

  #setBehind(isBehind: boolean): void {
    this.isBehind = isBehind;
    this.events.onState();
  }

  async #connect(): Promise<void> {
    const session = ++this.#session;
    const isCurrent = () => this.#session === session;
    try {
      await this.events.admit?.();
      if (!isCurrent()) return;
      const subscription = await this.engine.subscribe(
        (event) => isCurrent() && this.#onEvent(event),
        (reason) => isCurrent() && this.#lost(reason),
      );
      if (!isCurrent()) return subscription.close();
      this.#subscription = subscription;
      this.#setState({ kind: "listing" });
      const version = await this.engine.version();
      await this.#listAll(isCurrent);
      if (!isCurrent()) return;
      this.#failures = 0;
      this.#refusal = undefined;
      this.#setState({ kind: "following", since: new Date(), version });
      this.#source.complete();
      this.log.info(
        { docker: version, containers: this.inventory.containers.size, networks: this.inventory.networks.size },
        "following dockerd",
      );
      this.#relist = setTimeout(() => void this.#relistNow(session), relistEvery);
    } catch (error) {
      if (isCurrent()) this.#lost(describeError(error), error instanceof PontoonError ? error.code : undefined);
    }
  }

  /** Logged once for each outage and kind of refusal, however often the connection is tried. */
  #lost(reason: string, code?: string): void {
    this.#session++;
    this.isBehind = false;
    this.#subscription?.close();
    this.#subscription = undefined;
    clearTimeout(this.#relist);
    if (code !== undefined && this.#refusal !== code)
      this.log.error({ code, reason }, `dockerd at ${this.engine.host} is not followed`);
    else if (code === undefined && this.#failures === 0)
      this.log.warn({ reason }, `no dockerd at ${this.engine.host}; waiting for it`);
    this.#refusal = code;
    const delay = reconnectAfter[Math.min(this.#failures++, reconnectAfter.length - 1)];
    this.#setState({ kind: "waiting", reason });
    this.joins.clear();
    this.#reconnect = setTimeout(() => void this.#connect(), delay);
  }

  async #relistNow(session: number): Promise<void> {
    if (this.#session !== session) return;
    this.joins.expire();
    await this.#relistWhile(() => this.#session === session);
    if (this.#session === session) this.#relist = setTimeout(() => void this.#relistNow(session), relistEvery);
  }

  /** A listing that fails ends the session. */
  async #relistWhile(isCurrent: () => boolean): Promise<void> {
    try {
      await this.#listAll(isCurrent);
    } catch (error) {
      if (isCurrent()) this.#lost(describeError(error));
    }
  }

  /** Looks at everything there is. What was created meanwhile came as an event; what is gone is removed. */
  async #listAll(isCurrent: () => boolean): Promise<void> {
    this.#isListing = true;
    try {
      await this.#list(isCurrent);
    } finally {
      this.#isListing = false;
    }
  }

  async #list(isCurrent: () => boolean): Promise<void> {
    const knownBefore = new Set(this.#source.ids);
    const [networks, containers] = await Promise.all([this.engine.networkIds(), this.engine.containerIds()]);
    if (!isCurrent()) return;
    const present = new Set([...networks, ...containers]);
    for (const id of knownBefore) if (!present.has(id)) this.#forget(id);
    this.#networks.requestListed(networks);
    await Promise.race([this.#networks.settled(), pause(listingAtMost)]);
    this.#containers.requestListed(containers);
    // A container that is just starting cannot be inspected until it has: the others must not wait for it.
    await Promise.race([this.#containers.settled(), pause(listingAtMost)]);
  }

  #forget(id: string): void {
    clearTimeout(this.#leaving.get(id));
    this.#leaving.delete(id);
    this.joins.end(id);
    this.#source.removeContainer(id);
    this.#source.removeNetwork(id);
  }

  #onEvent(event: DockerEvent): void {
    if (event.type === "container") return this.#onContainerEvent(event);
    const { action, id, container } = event;
    // A look that is under way may still find what is gone: the one that follows does not.
    if (action === "destroy" || action === "remove") {
      this.#forget(id);
      return this.#networks.request(id);
    }
    if (container === undefined) return this.#networks.request(id);
    if (action === "connect") {
      this.joins.begin(container, id);
      this.#networks.request(id);
    } else if (action === "disconnect") {
      this.#source.removeEndpoint(container, id);
      this.joins.end(container);
      // A look at the network that is under way may still show the endpoint.
      this.#networks.request(id);
    }
    this.#containers.request(container);
  }

  #onContainerEvent({ action, id }: DockerEvent): void {
    if (action === "destroy") this.#forget(id);
    if (action === "die") this.joins.end(id);
    this.#containers.request(id);
  }

  async #lookAtContainer(id: string): Promise<() => void> {
    const container = await this.engine.container(id);
    const gateway = container && this.#mayHaveGateway(container) ? await this.engine.network(gatewayBridge) : undefined;
    return () => {
      if (!container) return this.#forget(id);
      if (gateway) this.#source.putGateways(gateway.network, gateway.endpoints);
      else if (!this.#needsGateway(container)) this.#source.removeGateway(id);
      // A container that is too large to be inspected is known from its networks alone.
      const endpoints = container.partial ? (this.inventory.containers.get(id)?.endpoints ?? []) : container.endpoints;
      this.#source.putContainer(this.#withoutStaleEndpoints({ ...container, endpoints }));
      if (container.running) this.joins.end(id);
    };
  }

  /**
   * Whether to look up which address a container has on docker_gwbridge, since no event tells. Once all is
   * listed: a listing looks at that network before any container, and nothing changes for one that is as it was.
   */
  #mayHaveGateway(container: Container): boolean {
    if (this.state.kind !== "following" || !this.#needsGateway(container)) return false;
    const known = this.inventory.containers.get(container.id);
    const isAsItWas =
      known?.sandbox?.id === container.sandbox?.id &&
      JSON.stringify(known?.endpoints) === JSON.stringify(container.endpoints);
    return !isAsItWas || (!this.#isListing && this.inventory.gatewayOf(container.id) === undefined);
  }

  /** Whether none of its networks is known to be a way out of the host. */
  #needsGateway({ running, endpoints }: Container): boolean {
    const joined = endpoints
      .filter(({ ipv4, ipv6 }) => (ipv4 ?? ipv6) !== undefined)
      .map((endpoint) => this.inventory.networkOf(endpoint));
    return (
      running &&
      joined.some((network) => network !== undefined && network.driver !== "bridge") &&
      !joined.some((network) => network?.driver === "bridge" && !network.internal)
    );
  }

  async #lookAtNetwork(id: string): Promise<() => void> {
    const found = await this.engine.network(id);
    return () => {
      if (!found) return this.#forget(id);
      if (found.network.name === gatewayBridge) return this.#source.putGateways(found.network, found.endpoints);
      const isNew = !this.inventory.networks.has(id);
      this.#source.putNetwork(found.network);
      this.#source.putListed(found.network, found.endpoints);
      const listed = new Set(found.endpoints.map(({ container }) => container));
      // While a network was not known, it was not known either whether its containers have a gateway there.
      const isNews = isNew && this.state.kind === "following" && found.network.driver !== "bridge";
      for (const container of this.inventory.containersOn(id))
        if (isNews || !listed.has(container)) this.#containers.request(container);
    };
  }

  /**
   * A container that dies while dockerd is followed keeps its addresses until it has left its networks, as in Docker's own resolver.
   * One that had died before, or does not leave, shows addresses that a crashed dockerd left behind.
   */
  #withoutStaleEndpoints(container: Container): Container {
    const { id } = container;
    const hasAddress = container.endpoints.some(({ ipv4, ipv6 }) => ipv4 !== undefined || ipv6 !== undefined);
    if (container.running || !hasAddress) {
      clearTimeout(this.#leaving.get(id));
      this.#leaving.delete(id);
      return container;
    }
    const joining = this.joins.isJoining(id);
    if (joining || this.#leaving.has(id)) return container;
    // What a listing shows as dead had died unseen: no event will tell that it leaves.
    const diesNow = this.state.kind === "following" && this.inventory.containers.get(id)?.running === true;
    if (!diesNow) return { ...container, endpoints: container.endpoints.map(withoutAddress) };
    const timer = setTimeout(() => {
      this.#leaving.delete(id);
      this.#containers.request(id);
    }, leavingAtMost);
    this.#leaving.set(id, timer);
    return container;
  }

  #lookFailed(kind: "container" | "network", id: string, error: unknown): void {
    if (this.state.kind === "stopped") return;
    this.log.warn(
      { [kind]: id.slice(0, 12), reason: describeError(error) },
      `could not look at a ${kind}; trying again`,
    );
    const inspectQueue = kind === "container" ? this.#containers : this.#networks;
    setTimeout(() => {
      if (this.state.kind === "following") inspectQueue.request(id);
    }, lookAgainAfter).unref();
  }

  #setState(state: FeedState): void {
    if (this.state.kind === "stopped") return;
    this.state = state;
    this.events.onState();
  }
}

function withoutAddress<T extends { ipv4: string | undefined; ipv6: string | undefined }>(endpoint: T): T {
  return { ...endpoint, ipv4: undefined, ipv6: undefined };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
