import type { Logger } from "pino";
import { describeError } from "../../common/errors.js";
import type { ForwardingSettings } from "../docker/upstreams.js";
import type { Inventory } from "../inventory/inventory.js";
import type { Container } from "../inventory/types.js";
import { decide, type Decision, type NamePolicy, type ServeDecision } from "./records.js";

/** Finds out whom to forward to for a container; may read files. */
export type ForwardingSettingsOf = (container: Container) => Promise<ForwardingSettings>;

export interface DecisionEvents {
  /** A sandbox is not to be answered any more: its container is gone, left to Docker's resolver, or has another one. */
  onLeft(sandbox: string): void;
  /** A container was looked at, which may have changed nothing. What this throws is logged. */
  onDecided(decision: Decision): void;
}

/** What is to be done about each container's resolver. Carries nothing out. */
export class Decisions {
  readonly #all = new Map<string, Decision>();

  /** @param policy what the configuration says now */
  constructor(
    private readonly inventory: Inventory,
    private readonly forwardingSettingsOf: ForwardingSettingsOf,
    private readonly policy: () => NamePolicy,
    private readonly log: Logger,
    private readonly events: DecisionEvents,
  ) {}

  /** By container. */
  get all(): ReadonlyMap<string, Decision> {
    return this.#all;
  }

  /** Those to serve, in one sandbox or in all. */
  *toServe(sandbox?: string): Generator<ServeDecision> {
    for (const decision of this.#all.values())
      if (decision.kind === "serve" && (sandbox === undefined || decision.sandbox.id === sandbox)) yield decision;
  }

  /** Decides anew. Never rejects: what cannot be worked out is left as it is. */
  async review(container: Container): Promise<void> {
    try {
      const outside = await this.forwardingSettingsOf(container);
      const current = this.inventory.containers.get(container.id);
      if (current !== container) return; // overtaken: the newer state is reviewed on its own
      this.#put(container, decide(this.inventory, container, outside, this.policy()));
    } catch (error) {
      this.log.warn(
        { container: container.name, reason: describeError(error) },
        "could not work out a container's resolver; left as it is",
      );
    }
  }

  #put({ id, name }: Container, decision: Decision): void {
    const before = this.#all.get(id);
    if (before?.kind === "serve" && (decision.kind !== "serve" || decision.sandbox.id !== before.sandbox.id))
      this.events.onLeft(before.sandbox.id);
    if (
      decision.kind === "leave" &&
      decision.code !== undefined &&
      (before?.kind !== "leave" || before.reason !== decision.reason)
    )
      this.log.warn(
        { container: name, code: decision.code, reason: decision.reason },
        "a container is left to Docker's resolver",
      );
    this.#all.set(id, decision);
    this.events.onDecided(decision);
  }

  /** The container is gone. */
  forget(container: string): void {
    const decision = this.#all.get(container);
    this.#all.delete(container);
    if (decision?.kind === "serve") this.events.onLeft(decision.sandbox.id);
  }
}
