import type { Inventory } from "../../src/inventory/inventory.js";
import type { ProcessPlace } from "./namespaces.js";
import type { DnsController } from "../../src/names/controller.js";
import { madeAddresses, madeContainer } from "./stand-in-inventory.js";

/** As long as Docker takes between `network connect` and `start`, ms. */
const joinTakes = 50;
const lives = 1000; // ms
/** About what Docker takes between a process's end and `network disconnect`, ms. */
const leaveTakes = 20;
/** Numbers of containers that come and go; nobody else has them. */
const firstNumber = 0x200_000;

/** How containers come and go. */
export interface ChurnLoad {
  readonly startsPerSecond: number;
  /** Numbers of the networks they are on, in turn. */
  readonly networks: readonly number[];
}

/**
 * Starts containers at a steady rate and ends each a second later, the way the feed tells it: connected while it cannot
 * be inspected, then started, then off its network, then gone. Each has a namespace, which is taken over and ends with
 * the container's process.
 */
export class Churn {
  started = 0;
  readonly #free: ProcessPlace[];
  readonly #joining = new Set<string>();
  readonly #timer: NodeJS.Timeout;
  readonly #living = new Set<Promise<void>>();

  /** @param places a namespace for each container there will be */
  constructor(
    private readonly inventory: Inventory,
    private readonly dns: DnsController,
    places: readonly ProcessPlace[],
    private readonly endProcess: (place: ProcessPlace) => void,
    private readonly load: ChurnLoad,
  ) {
    this.#free = [...places];
    this.#timer = setInterval(() => this.#start(), 1000 / load.startsPerSecond);
  }

  /** Starts no more and waits until the last has ended. @returns how many have been started */
  async stop(): Promise<number> {
    clearInterval(this.#timer);
    await Promise.all(this.#living);
    return this.started;
  }

  #start(): void {
    const place = this.#free.shift();
    if (!place) throw new Error(`more than ${this.started} containers were to start`);
    const living = this.#live(this.started++, place).finally(() => this.#living.delete(living));
    this.#living.add(living);
  }

  async #live(turn: number, place: ProcessPlace): Promise<void> {
    const network = this.load.networks[turn % this.load.networks.length]!;
    const container = madeContainer({
      name: `brief${turn}`,
      number: firstNumber + turn,
      networks: [network],
      sandbox: place,
    });
    const { networkId } = container.endpoints[0]!;
    this.#setJoining(networkId, true);
    this.inventory
      .source("docker")
      .putListed(this.inventory.networks.get(networkId)!, [
        { container: container.id, name: container.name, ...madeAddresses(firstNumber + turn) },
      ]);
    await pause(joinTakes);
    this.inventory.source("docker").putContainer(container);
    this.#setJoining(networkId, false);
    await pause(lives);
    this.endProcess(place);
    await pause(leaveTakes);
    this.inventory.source("docker").removeEndpoint(container.id, networkId);
    this.inventory.source("docker").removeContainer(container.id);
  }

  #setJoining(network: string, joins: boolean): void {
    if (joins) this.#joining.add(network);
    else this.#joining.delete(network);
    this.dns.setGap({ everywhere: false, networks: [...this.#joining] });
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
