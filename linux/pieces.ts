const sliceTime = 5; // ms

/** Long work that stops after each short piece; what it has open it closes in `finally`. */
export type Pieces<Result> = Generator<void, Result>;

/** Does all of it now, for a process in which nothing else waits. */
export function atOnce<Result>(work: Pieces<Result>): Result {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
  }
}

/** Does it a few milliseconds at a time, so that other work of the event loop has its turn in between. */
export async function inSlices<Result>(work: Pieces<Result>): Promise<Result> {
  for (;;) {
    const until = performance.now() + sliceTime;
    do {
      const { done, value } = work.next();
      if (done === true) return value;
    } while (performance.now() < until);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
