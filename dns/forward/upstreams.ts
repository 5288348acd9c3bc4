import { EdnsSupport } from "./edns-support.js";
import type { NameKey } from "../wire/name.js";
import type { Upstream, UpstreamReport } from "../protocol.js";

interface Health {
  readonly upstream: Upstream;
  asked: number;
  answered: number;
  timeouts: number;
  failures: number;
  /** Milliseconds, smoothed; 0 before the first answer. */
  latency: number;
  /** Zones of the questions left unanswered since its last answer. */
  readonly unanswered: Set<NameKey>;
  /** When a server that is down is asked again, beside the others. */
  probeAt: number;
  readonly edns: EdnsSupport;
}

const knownAtMost = 4096;
/** Weight of the newest answer in the smoothed latency. */
const newest = 0.2;
/** A server that left questions for so many zones unanswered, and answered none meanwhile, is down. A single zone may be lame. */
const zonesAtLeast = 3;
/** How often a server that is down is tried again, ms. */
const probeEvery = 5000;

/** What is known of each upstream, over all sandboxes that use it in the same way. */
export class UpstreamHealth {
  /** Milliseconds a server may be silent before a later one's answer counts. */
  patience = 2000;
  readonly #known = new Map<string, Health>();

  /** @param now milliseconds that never go back */
  constructor(private readonly now: () => number) {}

  /**
   * Which of the upstreams are down, and so not waited for, and which of these is asked all the same, to see whether it is
   * back: one ahead of the first that is up, since those behind that one are asked only when it fails. When all are
   * down, none is passed by.
   */
  plan(upstreams: readonly Upstream[]): { readonly down: ReadonlySet<Upstream>; readonly probe: Upstream | undefined } {
    const firstUp = upstreams.findIndex((upstream) => !this.#isDown(upstream));
    if (firstUp < 0) return { down: new Set(), probe: undefined };
    const now = this.now();
    const probe = upstreams.slice(0, firstUp).find((upstream) => this.#of(upstream).probeAt <= now);
    if (probe) this.#of(probe).probeAt = now + probeEvery;
    return { down: new Set(upstreams.filter((upstream) => this.#isDown(upstream))), probe };
  }

  edns(upstream: Upstream): EdnsSupport {
    return this.#of(upstream).edns;
  }

  asked(upstream: Upstream): void {
    this.#of(upstream).asked++;
  }

  /** @param took milliseconds */
  answered(upstream: Upstream, took: number): void {
    const health = this.#of(upstream);
    health.answered++;
    health.unanswered.clear();
    health.latency = health.latency === 0 ? took : health.latency * (1 - newest) + took * newest;
  }

  /** It did not answer a question for that zone although there was time, whatever others did. */
  timedOut(upstream: Upstream, zone: NameKey): void {
    this.#of(upstream).timeouts++;
    this.#leftUnanswered(upstream, zone);
  }

  /** It cannot be reached. */
  failed(upstream: Upstream, zone: NameKey): void {
    this.#of(upstream).failures++;
    this.#leftUnanswered(upstream, zone);
  }

  /** A server that is asked from several networks is listed once; it is down if it is down from all of them. */
  report(): UpstreamReport[] {
    const reports = new Map<string, UpstreamReport>();
    for (const { upstream, asked, answered, timeouts, failures, latency } of this.#known.values()) {
      const { ip, port, from } = upstream;
      const down = this.#isDown(upstream);
      const one = { upstream: { ip, port, from }, asked, answered, timeouts, failures, latency, down };
      const key = `${from} ${ip}#${port}`;
      const before = reports.get(key);
      reports.set(key, before ? sumOf(before, one) : one);
    }
    return [...reports.values()];
  }

  #isDown(upstream: Upstream): boolean {
    return this.#of(upstream).unanswered.size >= zonesAtLeast;
  }

  #leftUnanswered(upstream: Upstream, zone: NameKey): void {
    const { unanswered, edns } = this.#of(upstream);
    edns.doubt();
    if (unanswered.size >= zonesAtLeast) return;
    unanswered.add(zone);
    if (unanswered.size === zonesAtLeast) this.#of(upstream).probeAt = this.now() + probeEvery;
  }

  #of(upstream: Upstream): Health {
    const key = upstreamKey(upstream);
    let health = this.#known.get(key);
    if (!health) {
      if (this.#known.size >= knownAtMost) this.#known.delete(this.#known.keys().next().value!);
      health = {
        upstream,
        asked: 0,
        answered: 0,
        timeouts: 0,
        failures: 0,
        latency: 0,
        unanswered: new Set(),
        probeAt: 0,
        edns: new EdnsSupport(),
      };
      this.#known.set(key, health);
    }
    return health;
  }
}

function sumOf(one: UpstreamReport, other: UpstreamReport): UpstreamReport {
  const answered = one.answered + other.answered;
  return {
    upstream: one.upstream,
    asked: one.asked + other.asked,
    answered,
    timeouts: one.timeouts + other.timeouts,
    failures: one.failures + other.failures,
    latency: answered === 0 ? 0 : (one.latency * one.answered + other.latency * other.answered) / answered,
    down: one.down && other.down,
  };
}

/** What tells one upstream from another. */
export function upstreamKey({ ip, port, from, scope }: Upstream): string {
  return `${scope ?? from} ${ip}#${port}`;
}
