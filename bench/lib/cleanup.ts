import type { TestOwner } from "../../integration/lab/index.js";

const signals = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** What is to be undone at the end of a part of a run. */
export class Undo implements TestOwner {
  readonly #handlers: (() => Promise<void>)[] = [];

  teardown(handler: () => Promise<void>): void {
    this.#handlers.push(handler);
  }

  /** Undoes everything, the latest first; goes on after failures and reports them. Can be called twice. */
  async run(): Promise<void> {
    for (let handler = this.#handlers.pop(); handler !== undefined; handler = this.#handlers.pop()) {
      try {
        await handler();
      } catch (error) {
        process.stderr.write(`bench: cleaning up: ${error instanceof Error ? error.message : String(error)}\n`);
      }
    }
  }
}

/** What is to be undone at the end of a whole run, however it ends. */
export class Cleanup extends Undo {
  #interrupted = false;

  constructor() {
    super();
    for (const [signal, exitCode] of Object.entries(signals))
      process.on(signal, () => {
        if (this.#interrupted) return;
        this.#interrupted = true;
        void this.run().finally(() => process.exit(exitCode));
      });
  }

  /** Whether a signal has begun to end the run: what fails from then on fails because of that. */
  get interrupted(): boolean {
    return this.#interrupted;
  }

  /** Does a part of the run, and undoes what that part has set up when it is over, or the run is. */
  async part<Result>(work: (undo: Undo) => Promise<Result>): Promise<Result> {
    const undo = new Undo();
    this.teardown(() => undo.run());
    try {
      return await work(undo);
    } finally {
      if (!this.#interrupted) await undo.run();
    }
  }
}
