import { PontoonError } from "../../common/errors.js";

/** What pontoon-proxy has been asked about publications and has not answered yet. */
export class AwaitedAnswers {
  readonly #awaited = new Map<string, (failure: PontoonError | undefined) => void>();

  /** @param answerTime until pontoon-proxy counts as silent, ms */
  constructor(private readonly answerTime: number) {}

  has(id: string): boolean {
    return this.#awaited.has(id);
  }

  /** @returns why it was refused, SERVER_SILENT when nothing is heard; undefined for success */
  next(id: string): Promise<PontoonError | undefined> {
    return new Promise((resolve) => {
      const late = () => this.settle(id, silent("pontoon-proxy does not answer"));
      const timer = setTimeout(late, this.answerTime);
      this.#awaited.set(id, (failure) => {
        clearTimeout(timer);
        resolve(failure);
      });
    });
  }

  settle(id: string, failure: PontoonError | undefined): void {
    const settle = this.#awaited.get(id);
    this.#awaited.delete(id);
    settle?.(failure);
  }

  /** Whoever was to answer is gone. */
  settleAll(): void {
    for (const id of [...this.#awaited.keys()]) this.settle(id, silent("pontoon-proxy has just ended"));
  }
}

function silent(what: string): PontoonError {
  return new PontoonError("SERVER_SILENT", "pontoon-proxy", `${what}; see \`pontoon status\``);
}
