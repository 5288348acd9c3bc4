/** Work that is done one after the other, in the order in which it is asked for. */
export class Queue {
  #last: Promise<unknown> = Promise.resolve();

  /** @returns what `work` comes to, once all before it is done */
  run<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined); // told to whoever asked for it
    return result;
  }
}
