import type { Logger } from "pino";
import { CommandPublisher } from "./command-publisher.js";
import type { PublishRequest, UnpublishRequest } from "./contract.js";
import type { EndpointPorts } from "../inventory/endpoint-ports.js";
import { EndpointPublisher } from "./endpoint-publisher.js";
import { DefaultBindings } from "./default-bindings.js";
import { PontoonError } from "../../common/errors.js";
import type { Change, Inventory } from "../inventory/inventory.js";
import type { LabelFailure } from "./label-plan.js";
import { LabelPublisher } from "./label-publisher.js";
import { PortBinder } from "./port-binder.js";
import type { Entry } from "./entry.js";
import type { PublishedPorts } from "./published-ports.js";

/** Until what failed is tried again, ms; longer when trying takes long, so that it takes a hundredth of the time. */
const retryAfter = 5000;
const retryShare = 100;

/** Sees to it that what commands and labels ask for is published, one thing after the other, and follows the containers. */
export class Publisher {
  readonly #commands: CommandPublisher;
  readonly #labels: LabelPublisher;
  readonly #defaults: DefaultBindings;
  readonly #endpoints: EndpointPublisher;
  readonly #names = new Map<string, string>();
  readonly #changed = new Set<string>();
  #queue: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #reviewing = false;
  #complete = false;
  #stopped = false;

  /** @param ip address of publications that name none; undefined: where Docker would bind them */
  constructor(
    private readonly inventory: Inventory,
    private readonly ports: PublishedPorts,
    ip: string | undefined,
    log: Logger,
  ) {
    const binder = new PortBinder(ports, ip);
    this.#commands = new CommandPublisher(inventory, ports, binder);
    this.#labels = new LabelPublisher(inventory, ports, binder, log);
    this.#endpoints = new EndpointPublisher(ports, binder);
    this.#defaults = new DefaultBindings(inventory, ports, log);
    inventory.onChange((change) => this.#onChange(change));
  }

  /** What is not published of which label, by container. */
  get labelFailures(): ReadonlyMap<string, readonly LabelFailure[]> {
    return this.#labels.failures;
  }

  start(): void {
    this.#timer ??= setTimeout(() => void this.#retry(), retryAfter);
  }

  /** What is under way is finished; nothing is published any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#queue;
  }

  /** Some source of the inventory is complete: whoever it alone can tell of, and does not, does not exist. */
  inventoryIsComplete(): void {
    this.#complete = true;
    this.ports.retarget(() => true);
    for (const { id } of this.inventory.containers.values()) this.#changed.add(id);
    this.#reviewSoon();
  }

  /** As {@link CommandPublisher.publish}; rejects with NO_DAEMON for what comes too late. */
  publish(request: PublishRequest): Promise<readonly Entry[]> {
    return this.#command(() => this.#commands.publish(request));
  }

  /** As {@link CommandPublisher.unpublish}; rejects with NO_DAEMON for what comes too late. */
  unpublish(request: UnpublishRequest): Promise<readonly Entry[]> {
    return this.#command(() => this.#commands.unpublish(request));
  }

  /** As {@link EndpointPublisher.publish}; rejects with NO_DAEMON for what comes too late. */
  publishEndpoint(request: EndpointPorts): Promise<void> {
    return this.#command(() => this.#endpoints.publish(request));
  }

  /** As {@link EndpointPublisher.unpublish}; rejects with NO_DAEMON for what comes too late. */
  unpublishEndpoint(endpoint: string): Promise<void> {
    return this.#command(() => this.#endpoints.unpublish(endpoint));
  }

  /** Rejects with STORE_UNWRITABLE. */
  renameEndpoint(endpoint: string, container: string): Promise<void> {
    return this.#command(() => Promise.resolve(this.#endpoints.rename(endpoint, container)));
  }

  /** As {@link EndpointPublisher.move}. */
  moveEndpoint(endpoint: string, to: EndpointPorts["to"]): Promise<void> {
    return this.#command(() => Promise.resolve(this.#endpoints.move(endpoint, to)));
  }

  #onChange({ containers, networks }: Change): void {
    for (const id of containers) this.#changed.add(id);
    // Of a network that comes or changes, the way to what is published may be different, and where it is bound.
    if (this.#complete)
      for (const id of networks) for (const container of this.inventory.containersOn(id)) this.#changed.add(container);
    this.#reviewSoon();
  }

  #reviewSoon(): void {
    if (this.#reviewing || !this.#complete) return;
    this.#reviewing = true;
    setImmediate(() => {
      this.#reviewing = false;
      const names = this.#takeChangedNames();
      // Whoever shares the namespace of one that moved has moved as well.
      const concerns = (container: string) => names.has(container) || this.#sharesNamespace(container);
      this.ports.retarget(concerns);
      void this.#inTurn(async () => {
        if (!this.#stopped) await this.#defaults.review(concerns);
        if (!this.#stopped) await this.#labels.review(names);
      });
    });
  }

  /** The names of what has changed, those they had before among them. */
  #takeChangedNames(): Set<string> {
    const names = new Set<string>();
    for (const id of this.#changed) {
      const [before, now] = [this.#names.get(id), this.inventory.containers.get(id)?.name];
      if (before !== undefined) names.add(before);
      if (now === undefined) this.#names.delete(id);
      else {
        names.add(now);
        this.#names.set(id, now);
      }
    }
    this.#changed.clear();
    return names;
  }

  #sharesNamespace(name: string): boolean {
    return this.inventory.named(name)?.networkMode.kind === "container";
  }

  async #retry(): Promise<void> {
    const began = performance.now();
    await this.#inTurn(async () => {
      await this.ports.retry();
      if (this.#complete && !this.#stopped) await this.#labels.retry();
    });
    if (!this.#stopped)
      this.#timer = setTimeout(
        () => void this.#retry(),
        Math.max(retryAfter, (performance.now() - began) * retryShare),
      );
  }

  /** Rejects with NO_DAEMON for what comes too late. */
  #command<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#stopped)
      return Promise.reject(
        new PontoonError("NO_DAEMON", "pontoon daemon", "the daemon is just ending; try again when one runs"),
      );
    return this.#inTurn(work);
  }

  /** One after the other: each sees what the one before has done. */
  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }
}
