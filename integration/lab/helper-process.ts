import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { hostEnvironment } from "./command.js";

interface Waiting<Reply> {
  resolve(reply: Reply): void;
  reject(error: Error): void;
}

/** What a helper sends back for the request of the same number. */
export interface HelperReply<Reply> {
  id: number;
  reply?: Reply;
  error?: string;
}

/** A Node program of this folder that runs in some namespace and answers requests over an IPC channel. */
export class HelperProcess<Request, Reply> {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting<Reply>>();
  #lastId = 0;

  /** Starts the helper with the command line that brings it into its namespace. */
  constructor(argv: readonly string[]) {
    // Not by execa: requests and their replies are matched here, and its end is an event among others.
    this.#child = spawn(argv[0]!, argv.slice(1), {
      env: hostEnvironment,
      detached: true,
      serialization: "advanced", // carries buffers
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.#child.on("message", (message) => this.#settle(message as HelperReply<Reply>));
    this.#child.on("error", (error) => this.#fail(error));
    this.#child.on("exit", () => this.#fail(new Error("the helper process has ended")));
  }

  /** Whether the helper can still be asked. */
  get alive(): boolean {
    return this.#child.connected;
  }

  /** Sends a request and waits for its reply. */
  call(request: Request): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, request }, (error) => {
        if (!error) return;
        this.#waiting.delete(id);
        reject(error);
      });
    });
  }

  /** Ends the helper, and waits until it is gone from its namespace. */
  async release(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, "exit");
    if (this.#child.connected) this.#child.disconnect();
    await exit;
  }

  #settle({ id, reply, error }: HelperReply<Reply>): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(reply as Reply);
    else waiting?.reject(new Error(error));
  }

  #fail(error: Error): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}
