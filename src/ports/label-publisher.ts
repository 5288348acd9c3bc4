import type { Logger } from "pino";
import { PortTaken } from "./bind.js";
import { describeError } from "../../common/errors.js";
import type { Inventory } from "../inventory/inventory.js";
import { reachOf, unpublishable } from "../inventory/targets.js";
import type { Container } from "../inventory/types.js";
import { inSlices, type Pieces } from "../../linux/pieces.js";
import { LabelPlan, type LabelFailure, type MissingPort } from "./label-plan.js";
import type { PortBinder } from "./port-binder.js";
import type { PublishedPort } from "./published-port.js";
import { idOf, type BoundEntry } from "./entry.js";
import type { PublishedPorts } from "./published-ports.js";
import { publishLabel } from "./spec.js";

/** Publishes what containers' labels ask for, and no more. */
export class LabelPublisher {
  readonly #failures = new Map<string, readonly LabelFailure[]>();

  constructor(
    private readonly inventory: Inventory,
    private readonly ports: PublishedPorts,
    private readonly binder: PortBinder,
    private readonly log: Logger,
  ) {}

  /** What is not published of which label, by container. */
  get failures(): ReadonlyMap<string, readonly LabelFailure[]> {
    return this.#failures;
  }

  /** Looks again at the labels of these containers, and of those that have gone. Never rejects. */
  async review(names: ReadonlySet<string>): Promise<void> {
    const forgotten = this.ports.all
      .filter(({ port }) => port.source === "label" && this.#isGone(port.container))
      .map(({ port }) => port.container);
    let hasFreed = false;
    for (const name of new Set([...names, ...forgotten])) if (await this.#review(name)) hasFreed = true;
    if (hasFreed) for (const name of [...this.#failures.keys()]) await this.#review(name); // others may have waited for it
  }

  #isGone(container: string): boolean {
    return !this.inventory.named(container) && this.ports.knows(container);
  }

  /** Tries again what failed. */
  async retry(): Promise<void> {
    if (this.#failures.size > 0) await this.review(new Set(this.#failures.keys()));
  }

  /** @returns whether ports are free now */
  async #review(name: string): Promise<boolean> {
    const container = this.inventory.named(name);
    if (container?.partial === true || !this.ports.knows(name)) return false; // its labels are not known yet
    try {
      return await this.#follow(name, container);
    } catch (error) {
      this.log.error({ container: name, reason: describeError(error) }, `label ${publishLabel} could not be followed`);
      return false;
    }
  }

  async #follow(name: string, container: Container | undefined): Promise<boolean> {
    const published = this.ports.all.filter(({ port }) => port.source === "label" && port.container === name);
    const label = container?.labels[publishLabel] ?? "";
    if (published.length === 0 && label === "") {
      this.#failures.delete(name);
      return false;
    }
    const { missing, unused, failures } = new LabelPlan(
      {
        name,
        label,
        objection: container && unpublishable(this.inventory, container),
        binding: this.binder.bindingOf(container),
        isReached: container !== undefined && reachOf(this.inventory, container).kind === "reached",
      },
      published,
    );
    await this.ports.remove(unused);
    await this.#addMissing(name, missing, failures);
    this.#tellFailures(name, failures);
    return unused.length > 0;
  }

  async #addMissing(name: string, missing: readonly MissingPort[], failures: LabelFailure[]): Promise<void> {
    const taken: { readonly port: MissingPort; readonly error: PortTaken }[] = [];
    const bound: { readonly port: MissingPort; readonly entries: BoundEntry[] }[] = [];
    const fail = (port: MissingPort, error: unknown) => failures.push({ ...port, reason: describeError(error) });
    await this.ports.makeRoom(missing.map(({ mapping }) => mapping));
    await inSlices(
      this.#bindMissing(
        name,
        missing,
        (port, entries) => bound.push({ port, entries }),
        (port, error) => {
          if (error instanceof PortTaken) taken.push({ port, error });
          else fail(port, error);
        },
      ),
    );
    const reasons = await this.ports.addEach(bound.map(({ entries }) => entries));
    for (const [index, { port }] of bound.entries()) if (reasons[index] !== undefined) fail(port, reasons[index]);
    const explained = await this.ports.taken.explain(taken.map(({ error }) => error));
    for (const [index, { port }] of taken.entries()) fail(port, explained[index]);
  }

  *#bindMissing(
    name: string,
    missing: readonly MissingPort[],
    onBound: (port: MissingPort, entries: BoundEntry[]) => void,
    onFailure: (port: MissingPort, error: unknown) => void,
  ): Pieces<void> {
    const claimed = new Map<string, PublishedPort>();
    const binding = this.binder.bindingOf(this.inventory.named(name));
    for (const port of missing) {
      try {
        const entries = yield* this.binder.bind(
          { container: name, mapping: port.mapping, binding, options: {}, source: "label" },
          claimed,
        );
        for (const entry of entries) claimed.set(idOf(entry.port), entry.port);
        onBound(port, entries);
      } catch (error) {
        onFailure(port, error);
      }
      yield;
    }
  }

  #tellFailures(name: string, failures: readonly LabelFailure[]): void {
    const before = this.#failures.get(name) ?? [];
    for (const { spec, reason } of failures)
      if (!before.some((known) => known.spec === spec && known.reason === reason))
        this.log.error({ container: name, spec, reason }, `label ${publishLabel}: a port is not published`);
    if (failures.length > 0) this.#failures.set(name, failures);
    else this.#failures.delete(name);
  }
}
