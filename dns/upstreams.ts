import type { Upstream, UpstreamReport } from "./protocol.js";

interface Health {
  readonly upstream: Upstream;
  asked: number;
  answered: number;
  timeouts: number;
  failures: number;
  latency: number;
}

const knownAtMost = 4096;
/** Weight of the newest answer in the smoothed latency. */
const newest = 0.2;

/** What is known of each upstream, over all sandboxes that use it. */
export class UpstreamHealth {
  readonly #known = new Map<string, Health>();

  asked(upstream: Upstream): void {
    this.#of(upstream).asked++;
  }

  /** @param took milliseconds */
  answered(upstream: Upstream, took: number): void {
    const health = this.#of(upstream);
    health.answered++;
    health.latency = health.latency === 0 ? took : health.latency * (1 - newest) + took * newest;
  }

  timedOut(upstream: Upstream): void {
    this.#of(upstream).timeouts++;
  }

  failed(upstream: Upstream): void {
    this.#of(upstream).failures++;
  }

  report(): UpstreamReport[] {
    return [...this.#known.values()].map((health) => ({ ...health }));
  }

  #of(upstream: Upstream): Health {
    const key = `${upstream.from} ${upstream.ip}#${upstream.port}`;
    let health = this.#known.get(key);
    if (!health) {
      if (this.#known.size >= knownAtMost) this.#known.delete(this.#known.keys().next().value!);
      health = { upstream, asked: 0, answered: 0, timeouts: 0, failures: 0, latency: 0 };
      this.#known.set(key, health);
    }
    return health;
  }
}
