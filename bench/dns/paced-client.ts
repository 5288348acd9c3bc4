import { MessageBatch } from "../../linux/mmsg.js";
import { closeDescriptor, connectSocket, forceBufferSizes, sendBytes, udpSocket } from "../../linux/socket.js";
import { percentiles } from "../lib/statistics.js";

/** What a paced client asks, and how often. */
export interface PacedLoad {
  readonly server: { readonly ip: string; readonly port: number };
  /** Queries each second, evenly spaced. */
  readonly rate: number;
  readonly seconds: number;
  /** Asked at the same rate before, and left out of the figures. */
  readonly warmUpSeconds: number;
}

/** How the answers came. A query without one counts as slower than any that was answered. */
export interface PacedResult {
  readonly sent: number;
  readonly lost: number;
  /** Answers other than NOERROR. */
  readonly errors: number;
  /** Milliseconds from the time a query was due to be sent until its answer had been read. */
  readonly latency: Percentiles;
  /** Milliseconds the client itself was late with sending; part of the latency. */
  readonly lateness: Percentiles;
}

/** Percentiles of many times, milliseconds. */
export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

const sockets = 4;
const ids = 0x10000;
const batchSize = 32;
const largestReply = 1500;
const receiveBuffer = 1 << 20; // bytes
/** How long answers are waited for after the last query. */
const waitAtEnd = 1000; // ms
/** What a query without an answer counts as. */
const lostCountsAs = 5000; // ms

/** A socket with the time each of its ids was due at; NaN where none is outstanding. */
interface Client {
  readonly fd: number;
  readonly due: Float64Array;
  /** Index of the query among all that are sent. */
  readonly order: Int32Array;
  next: number;
}

/**
 * Asks at a steady rate, whether answers come or not, and measures each from the time it was *due*: a client that was
 * held up, or waits for a slow server, does not make the server look faster. Does nothing else meanwhile, and allocates
 * nothing on the way, so that no garbage is collected.
 * @param queries whole messages, asked in turn; their ids are written over
 */
export function runPaced(load: PacedLoad, queries: readonly Buffer[]): PacedResult {
  const clients = Array.from({ length: sockets }, () => openClient(load));
  try {
    return new PacedRun(load, queries, clients).run();
  } finally {
    for (const { fd } of clients) closeDescriptor(fd);
  }
}

function openClient({ server }: PacedLoad): Client {
  const fd = udpSocket();
  forceBufferSizes(fd, receiveBuffer);
  connectSocket(fd, server);
  return { fd, due: new Float64Array(ids).fill(NaN), order: new Int32Array(ids), next: 0 };
}

class PacedRun {
  readonly #batch = new MessageBatch(batchSize, largestReply);
  readonly #total: number;
  readonly #skipped: number;
  readonly #latencies: Float64Array;
  readonly #lateness: Float64Array;
  #answered = 0;
  #errors = 0;

  constructor(
    private readonly load: PacedLoad,
    private readonly queries: readonly Buffer[],
    private readonly clients: readonly Client[],
  ) {
    this.#skipped = Math.round(load.rate * load.warmUpSeconds);
    this.#total = this.#skipped + Math.round(load.rate * load.seconds);
    this.#latencies = new Float64Array(this.#total).fill(NaN);
    this.#lateness = new Float64Array(this.#total);
  }

  run(): PacedResult {
    const interval = 1000 / this.load.rate;
    const begun = performance.now();
    let sent = 0;
    for (let deadline = Infinity; this.#answered < this.#total;) {
      const now = performance.now();
      if (now > deadline) break;
      if (sent < this.#total && now >= begun + sent * interval) {
        this.#send(sent, begun + sent * interval, now);
        if (++sent === this.#total) deadline = now + waitAtEnd;
      }
      for (const client of this.clients) this.#receive(client);
    }
    return this.#result();
  }

  #send(index: number, due: number, now: number): void {
    const client = this.clients[index % this.clients.length]!;
    const id = client.next;
    client.next = (id + 1) % ids;
    client.due[id] = due;
    client.order[id] = index;
    const query = this.queries[index % this.queries.length]!;
    query[0] = id >> 8;
    query[1] = id & 0xff;
    sendBytes(client.fd, query);
    this.#lateness[index] = now - due;
  }

  #receive({ fd, due, order }: Client): void {
    const batch = this.#batch;
    const count = batch.receive(fd);
    if (count === 0) return;
    const now = performance.now();
    for (let slot = 0; slot < count; slot++) {
      if (batch.length(slot) < 12) continue;
      const start = slot * batch.slotSize;
      const id = (batch.bytes[start]! << 8) | batch.bytes[start + 1]!;
      if (Number.isNaN(due[id])) continue; // a second answer
      const index = order[id]!;
      this.#latencies[index] = now - due[id]!;
      due[id] = NaN;
      this.#answered++;
      if (index >= this.#skipped && (batch.bytes[start + 3]! & 0xf) !== 0) this.#errors++;
    }
  }

  #result(): PacedResult {
    const latencies = this.#latencies.subarray(this.#skipped);
    const counted = latencies.map((latency) => (Number.isNaN(latency) ? lostCountsAs : latency));
    return {
      sent: latencies.length,
      lost: latencies.filter((latency) => Number.isNaN(latency)).length,
      errors: this.#errors,
      latency: percentilesOf(counted),
      lateness: percentilesOf(this.#lateness.subarray(this.#skipped)),
    };
  }
}

/** Percentiles of times in any order. */
export function percentilesOf(times: Float64Array): Percentiles {
  const [p50, p99, p999, max] = percentiles([...times], [0.5, 0.99, 0.999, 1]) as [number, number, number, number];
  return { p50, p99, p999, max };
}
