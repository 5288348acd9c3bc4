import type { TestOwner } from "../integration/host/index.js";

const signals = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** What is to be undone at the end of a run, however it ends. */
export class Cleanup implements TestOwner {
  readonly #handlers: (() => Promise<void>)[] = [];
  #interrupted = false;

  constructor() {
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
