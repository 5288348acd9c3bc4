import { describeError, PontoonError } from "../../common/errors.js";
import { addressesOf } from "./port-binder.js";
import type { Binding, Entry } from "./entry.js";
import { countOf, mappingsOf, parsePortSpec, portLabel, type PortMapping } from "./spec.js";

/** Ports that one label may publish. */
const portsOfLabel = 4096;
/** What a label may name, each with any number of ports. */
const specsOfLabel = 1000;
const labelLength = 65_536; // characters

/** A part of a container's label that is not published. */
export interface LabelFailure {
  readonly spec: string;
  /** What of the spec; undefined: all of it. */
  readonly mapping?: PortMapping;
  readonly reason: string;
}

/** A port that a label asks for, and that is not published yet. */
export interface MissingPort {
  readonly spec: string;
  readonly mapping: PortMapping;
}

/** A container with a label, as far as it matters to what the label asks for. */
export interface LabelledContainer {
  readonly name: string;
  readonly label: string;
  /** Why nothing of it can be published. */
  readonly objection: string | undefined;
  readonly binding: Binding;
  /** One that is down keeps ports without an address where they are. */
  readonly isReached: boolean;
}

/** What a container's label asks for, compared with what is published because of it. */
export class LabelPlan {
  readonly missing: MissingPort[] = [];
  readonly failures: LabelFailure[] = [];
  readonly #unused: Set<Entry>;
  /** What is published, by its side of the container. */
  readonly #there = new Map<string, Entry[]>();
  #left = portsOfLabel;

  constructor(
    private readonly container: LabelledContainer,
    published: readonly Entry[],
  ) {
    this.#unused = new Set(published);
    for (const entry of published) {
      const known = this.#there.get(sideOf(entry.port));
      if (known) known.push(entry);
      else this.#there.set(sideOf(entry.port), [entry]);
    }
    this.#compare();
  }

  /** What is published and not asked for any more. */
  get unused(): readonly Entry[] {
    return [...this.#unused];
  }

  #compare(): void {
    const { label } = this.container;
    if (label.length > labelLength) {
      const reason = `the label is longer than ${labelLength} characters; publish fewer ports (TOO_MANY_PORTS)`;
      this.failures.push({ spec: `${label.slice(0, 20)}…`, reason });
      return;
    }
    const specs = portLabel(label);
    for (const spec of specs.slice(0, specsOfLabel)) {
      try {
        this.#compareSpec(spec);
      } catch (error) {
        this.failures.push({ spec, reason: describeError(error) });
      }
    }
    const [first] = specs.slice(specsOfLabel);
    if (first !== undefined)
      this.failures.push({
        spec: first,
        reason: `it and what follows is left out: a label may name ${specsOfLabel} (TOO_MANY_PORTS)`,
      });
  }

  #compareSpec(spec: string): void {
    const { name, objection } = this.container;
    if (objection !== undefined) throw new PontoonError("NOT_PUBLISHABLE", name, objection);
    const parsed = parsePortSpec(spec);
    if (countOf(parsed) > this.#left)
      throw new PontoonError(
        "TOO_MANY_PORTS",
        name,
        `it is left out: with it the label would publish more than ${portsOfLabel} ports`,
      );
    this.#left -= countOf(parsed);
    for (const mapping of mappingsOf(parsed)) {
      const entries = this.#entriesOf(mapping);
      if (entries) for (const entry of entries) this.#unused.delete(entry);
      else this.missing.push({ spec, mapping });
    }
  }

  /** What is published of a mapping, and no other mapping of the label has asked for. */
  #entriesOf(mapping: PortMapping): readonly Entry[] | undefined {
    const { name, binding, isReached } = this.container;
    const ips = addressesOf(name, mapping, binding);
    const known = (this.#there.get(sideOf(mapping)) ?? []).filter((entry) => this.#unused.has(entry));
    const entries = entriesFor(mapping, ips, known);
    return isReached || mapping.ip !== undefined ? entries : (entries ?? defaultsFor(mapping, known));
  }
}

/** What matters of a port on the container's side. */
function sideOf({ transport, containerPort }: Pick<PortMapping, "transport" | "containerPort">): string {
  return `${transport} ${containerPort}`;
}

/** Published ports that a mapping without an address asked for while its container was reached; undefined when there are none. */
function defaultsFor({ hostPorts }: PortMapping, among: readonly Entry[]): Entry[] | undefined {
  const [first] = among.filter(
    ({ port }) =>
      port.byDefault === true &&
      (hostPorts === undefined || (hostPorts.first <= port.hostPort && port.hostPort <= hostPorts.last)),
  );
  return first && among.filter(({ port }) => port.byDefault === true && port.hostPort === first.port.hostPort);
}

/** Published ports that are what a mapping asks for; undefined unless there is one on each of its addresses. */
function entriesFor({ hostPorts }: PortMapping, ips: readonly string[], among: readonly Entry[]): Entry[] | undefined {
  const fitting = among.filter(
    ({ port }) =>
      ips.includes(port.ip) &&
      (hostPorts === undefined || (hostPorts.first <= port.hostPort && port.hostPort <= hostPorts.last)),
  );
  for (const { port } of fitting) {
    const same = fitting.filter((entry) => entry.port.hostPort === port.hostPort);
    if (same.length === ips.length) return same;
  }
  return undefined;
}
