import { requestUnix } from "./unix-http.js";

/** An answer of the engine other than success. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  constructor(
    request: string,
    readonly status: number,
    body: string,
  ) {
    super(`${request}: ${status} ${body.trim()}`);
  }
}

/** Docker's engine API, as far as tests use it. Several times faster than the docker command. */
export class Engine {
  constructor(private readonly socketPath: string) {}

  /** Whether dockerd answers. */
  async isUp(): Promise<boolean> {
    const answer = await requestUnix(this.socketPath, "/_ping", { timeoutMs: 1_000 });
    return answer.status === 200;
  }

  get(path: string): Promise<unknown> {
    return this.#call("GET", path);
  }

  post(path: string, body?: unknown): Promise<unknown> {
    return this.#call("POST", path, body);
  }

  delete(path: string): Promise<unknown> {
    return this.#call("DELETE", path);
  }

  async #call(method: string, path: string, body?: unknown): Promise<unknown> {
    const answer = await requestUnix(this.socketPath, path, { method, body });
    // 304: already started or stopped, which is what was asked for.
    if (answer.status >= 400) throw new EngineError(`${method} ${path}`, answer.status, answer.body);
    return answer.body.startsWith("{") || answer.body.startsWith("[") ? JSON.parse(answer.body) : answer.body;
  }
}
