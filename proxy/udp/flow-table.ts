/** What the table needs of its entries: their place in it. */
export interface Listed<Self> {
  readonly key: number | string;
  /** The next one with the same client, which used another of our addresses. */
  sibling: Self | undefined;
  older: Self | undefined;
  newer: Self | undefined;
}

/** Flows by client, in the order in which they were used last. Every operation costs the same however many there are. */
export class FlowTable<Flow extends Listed<Flow>> {
  readonly #byClient = new Map<number | string, Flow>();
  #oldest: Flow | undefined;
  #newest: Flow | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The one used longest ago. */
  get oldest(): Flow | undefined {
    return this.#oldest;
  }

  /** From the one used longest ago. None may be removed meanwhile. */
  *[Symbol.iterator](): Generator<Flow> {
    for (let flow = this.#oldest; flow !== undefined; flow = flow.newer) yield flow;
  }

  /** The first flow of a client; more follow as its siblings. */
  first(key: number | string): Flow | undefined {
    return this.#byClient.get(key);
  }

  add(flow: Flow): void {
    flow.sibling = this.#byClient.get(flow.key);
    this.#byClient.set(flow.key, flow);
    this.#append(flow);
    this.#size++;
  }

  /** Makes it the one used last. */
  touch(flow: Flow): void {
    if (this.#newest === flow) return;
    this.#unlink(flow);
    this.#append(flow);
  }

  remove(flow: Flow): void {
    const first = this.#byClient.get(flow.key);
    if (first === flow) {
      if (flow.sibling) this.#byClient.set(flow.key, flow.sibling);
      else this.#byClient.delete(flow.key);
    } else {
      let before = first;
      while (before && before.sibling !== flow) before = before.sibling;
      if (!before) return;
      before.sibling = flow.sibling;
    }
    this.#unlink(flow);
    this.#size--;
  }

  #append(flow: Flow): void {
    flow.older = this.#newest;
    flow.newer = undefined;
    if (this.#newest) this.#newest.newer = flow;
    else this.#oldest = flow;
    this.#newest = flow;
  }

  #unlink(flow: Flow): void {
    if (flow.older) flow.older.newer = flow.newer;
    else this.#oldest = flow.newer;
    if (flow.newer) flow.newer.older = flow.older;
    else this.#newest = flow.older;
  }
}
