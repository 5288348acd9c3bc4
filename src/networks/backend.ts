import { Worker } from "node:worker_threads";
import { PontoonError } from "../../common/errors.js";
import type { BackendSettings, FromBackend, Outcome, Request, ToBackend } from "../../network/protocol.js";

export interface BackendEvents {
  onWarning(message: string): void;
  /** Somebody has changed rules of the host of which no news tells. */
  onRulesChanged(): void;
  /** Links or addresses of networks were taken away. */
  onLinksChanged(): void;
  /** The thread has ended by itself: nothing can be done in the kernel until the daemon is started again. */
  onEnd(reason: string): void;
}

interface Waiting {
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: Error) => void;
}

/**
 * The network backend, in a thread of its own. Requests are carried out one after the other, in the order in which they are
 * made. To be made before the process gives up its bounding set: the thread keeps it, and programs it starts have it.
 */
export class Backend {
  readonly #thread: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #ended: string | undefined;
  #requests = 0;

  constructor(
    settings: BackendSettings,
    private readonly events: BackendEvents,
  ) {
    const program = new URL("../../network/main.js", import.meta.url);
    this.#thread = new Worker(program, { name: "pontoon-network", workerData: settings });
    this.#thread.on("message", (message: FromBackend) => this.#onMessage(message));
    this.#thread.on("error", (error) => this.#end(error.message));
    this.#thread.on("exit", () => this.#end("it has ended"));
  }

  /** What fails is part of the outcome. Rejects with BACKEND_FAILED when the backend itself has a fault. */
  request(request: Request): Promise<Outcome> {
    if (this.#ended !== undefined) return Promise.reject(failed(this.#ended));
    const id = ++this.#requests;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#thread.postMessage({ id, request } satisfies ToBackend);
    });
  }

  /** Ends the thread; what it was doing is done first. Can be called twice. */
  async stop(): Promise<void> {
    this.#thread.removeAllListeners("exit");
    await this.#thread.terminate();
    this.#end("the daemon is about to end", false);
  }

  #onMessage(message: FromBackend): void {
    if (message.kind === "warning") return this.events.onWarning(message.message);
    if (message.kind === "rules-changed") return this.events.onRulesChanged();
    if (message.kind === "links-changed") return this.events.onLinksChanged();
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.kind === "outcome") waiting?.resolve(message.outcome);
    else if (message.code === "BACKEND_TAKEN")
      waiting?.reject(new PontoonError(message.code, "network backend", message.message));
    else waiting?.reject(failed(message.message));
  }

  #end(reason: string, isUnforeseen = true): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    for (const { reject } of this.#waiting.values()) reject(failed(reason));
    this.#waiting.clear();
    if (isUnforeseen) this.events.onEnd(reason);
  }
}

function failed(reason: string): PontoonError {
  return new PontoonError("BACKEND_FAILED", "network backend", `the network backend could not do it: ${reason}`);
}
