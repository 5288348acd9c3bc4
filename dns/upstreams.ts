import type { Upstream, UpstreamReport } from "./protocol.js";

interface Health {
  readonly upstream: Upstream;
  asked: number;
  answered: number;
  timeouts: number;
  failures: number;
  /** Milliseconds, smoothed; 0 before the first answer. */
  latency: number;
  /** Silent or refusing when it was last asked. */
  down: boolean;
  /** When a server that is down is asked again, beside the others. */
  probeAt: number;
}

const knownAtMost = 4096;
/** Weight of the newest answer in the smoothed latency. */
const newest = 0.2;
/** How long an upstream is waited for before the next one is asked too, ms: some times its usual latency, within these. */
const patience = { factor: 3, least: 60, most: 300, unknown: 250 } as const;
/** How often a server that is down is tried again, ms. */
const probeEvery = 5000;

/** What is known of each upstream, over all sandboxes that use it. */
export class UpstreamHealth {
  readonly #known = new Map<string, Health>();

  /** @param now milliseconds that never go back */
  constructor(private readonly now: () => number) {}

  /**
   * The order in which upstreams are asked: those that answer first, as configured; and which of the others is asked
   * at the same time, to see whether it is back.
   */
  plan(upstreams: readonly Upstream[]): { readonly order: readonly Upstream[]; readonly probe: Upstream | undefined } {
    const down = upstreams.filter((upstream) => this.#of(upstream).down);
    if (down.length === 0 || down.length === upstreams.length) return { order: upstreams, probe: undefined };
    const now = this.now();
    const probe = down.find((upstream) => this.#of(upstream).probeAt <= now);
    if (probe) this.#of(probe).probeAt = now + probeEvery;
    const rest = down.filter((upstream) => upstream !== probe);
    return { order: [...upstreams.filter((upstream) => !down.includes(upstream)), ...rest], probe };
  }

  allDown(upstreams: readonly Upstream[]): boolean {
    return upstreams.length > 0 && upstreams.every((upstream) => this.#of(upstream).down);
  }

  /** Milliseconds to wait for an upstream before the next one is asked too. */
  patienceFor(upstream: Upstream): number {
    const { latency } = this.#of(upstream);
    return latency === 0 ? patience.unknown : Math.min(patience.most, Math.max(patience.least, latency * patience.factor));
  }

  asked(upstream: Upstream): void {
    this.#of(upstream).asked++;
  }

  /** @param took milliseconds */
  answered(upstream: Upstream, took: number): void {
    const health = this.#of(upstream);
    health.answered++;
    health.down = false;
    health.latency = health.latency === 0 ? took : health.latency * (1 - newest) + took * newest;
  }

  /** It did not answer although there was time; another may have. */
  timedOut(upstream: Upstream): void {
    const health = this.#of(upstream);
    health.timeouts++;
    this.#isDown(health);
  }

  failed(upstream: Upstream): void {
    const health = this.#of(upstream);
    health.failures++;
    this.#isDown(health);
  }

  /** A server that is known from several networks is told once: down where it is down from all of them. */
  report(): UpstreamReport[] {
    const reports = new Map<string, UpstreamReport>();
    for (const { upstream, asked, answered, timeouts, failures, latency, down } of this.#known.values()) {
      const { ip, port, from } = upstream;
      const one = { upstream: { ip, port, from }, asked, answered, timeouts, failures, latency, down };
      const key = `${from} ${ip}#${port}`;
      const before = reports.get(key);
      reports.set(key, before ? sumOf(before, one) : one);
    }
    return [...reports.values()];
  }

  #isDown(health: Health): void {
    if (!health.down) health.probeAt = this.now() + probeEvery;
    health.down = true;
  }

  #of(upstream: Upstream): Health {
    const key = upstreamKey(upstream);
    let health = this.#known.get(key);
    if (!health) {
      if (this.#known.size >= knownAtMost) this.#known.delete(this.#known.keys().next().value!);
      health = { upstream, asked: 0, answered: 0, timeouts: 0, failures: 0, latency: 0, down: false, probeAt: 0 };
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
