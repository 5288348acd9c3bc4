// Stands between dockerd and the driver's socket, and lets calls fail on their way. A fake of the way, not of either end.
import { once } from "node:events";
import { rmSync } from "node:fs";
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { DockerHost } from "../lab/index.js";

/** What happens to a call. */
export type Fault =
  /** It never arrives. */
  | "lost"
  /** It arrives, and the answer never does. */
  | "cut"
  /** It is refused, and never arrives. */
  | "refused"
  /** It is done, and refused all the same. */
  | "refused-late";

const folder = "/run/docker/plugins";

export class FlakyPlugin {
  /** Calls that came through, in order. */
  readonly calls: string[] = [];
  #fault: { readonly method: string; readonly kind: Fault } | undefined;
  readonly #server: Server;

  private constructor(private readonly real: string) {
    this.#server = createServer({ requireHostHeader: false, keepAliveTimeout: 0 }, (incoming, answer) => {
      void this.#onCall(incoming, answer);
    });
  }

  /** Takes the place of a driver's socket that is there. */
  static async start(host: DockerHost): Promise<FlakyPlugin> {
    const [path, real] = [host.path(`${folder}/pontoon.sock`), host.path("/run/pontoon/plugin.sock")];
    rmSync(path);
    const flaky = new FlakyPlugin(real);
    flaky.#server.listen(path);
    await once(flaky.#server, "listening");
    return flaky;
  }

  /** The next call of a method fails in this way. */
  failNext(method: string, kind: Fault): void {
    this.#fault = { method, kind };
  }

  /** Whether a fault still waits for its call. */
  get isWaiting(): boolean {
    return this.#fault !== undefined;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  async #onCall(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const method = (incoming.url ?? "").slice(1);
    const body = Buffer.concat((await incoming.toArray()) as Buffer[]);
    const fault = this.#fault?.method === method ? this.#fault.kind : undefined;
    if (fault) this.#fault = undefined;
    this.calls.push(method);
    if (fault === "lost") return void incoming.socket.destroy();
    const text = fault === "refused" ? "" : await this.#ask(method, body);
    if (fault === "cut") return void incoming.socket.destroy();
    const why = "as the test wants it";
    answer.setHeader("content-type", "application/vnd.docker.plugins.v1.2+json");
    answer.end(fault ? JSON.stringify({ Err: why, Error: why }) : text);
  }

  #ask(method: string, body: Buffer): Promise<string> {
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: this.real, path: `/${method}`, method: "POST" }, (reply) => {
        void reply.toArray().then((parts) => resolve(Buffer.concat(parts as Buffer[]).toString()), reject);
      });
      asked.on("error", reject);
      asked.end(body);
    });
  }
}
