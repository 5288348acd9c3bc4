import { request } from "node:http";
import { errorCode, PontoonError } from "../../common/errors.js";

const answerTime = 15_000; // ms

/** Speaks with the daemon through its control socket. */
export class ControlClient {
  constructor(private readonly socketPath: string) {}

  get(path: string): Promise<unknown> {
    return this.#call("GET", path);
  }

  post(path: string, body: unknown): Promise<unknown> {
    return this.#call("POST", path, JSON.stringify(body));
  }

  #call(method: string, path: string, body?: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const headers =
        body === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
      const call = request({ socketPath: this.socketPath, method, path, headers, timeout: answerTime }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => settle(response.statusCode ?? 0, Buffer.concat(chunks).toString()));
        response.on("error", (error) => reject(this.#explain(error))); // it ended in the middle of its answer
      });
      const settle = (status: number, text: string) => {
        try {
          const answer: unknown = JSON.parse(text);
          if (status === 200) return resolve(answer);
          const { code, message } = answer as { code?: string; message?: string };
          reject(new PontoonError(code ?? "INTERNAL", path, message ?? `the daemon answered ${status}`));
        } catch (error) {
          reject(
            new PontoonError("INTERNAL", path, `the daemon's answer makes no sense (status ${status})`, {
              cause: error,
            }),
          );
        }
      };
      call.on("timeout", () => call.destroy(new Error("timeout")));
      call.on("error", (error) => reject(this.#explain(error)));
      call.end(body);
    });
  }

  #explain(error: Error): PontoonError {
    const code = errorCode(error);
    if (code === "ENOENT" || code === "ECONNREFUSED")
      return new PontoonError(
        "NO_DAEMON",
        this.socketPath,
        `no pontoon daemon answers on ${this.socketPath}; ` +
          "start one (`systemctl start pontoon`, or `sudo npm start` in the clone), or give --run-dir",
      );
    if (code === "EACCES")
      return new PontoonError(
        "NOT_ALLOWED",
        this.socketPath,
        `${this.socketPath} may be opened by root only; run the command with sudo`,
      );
    return new PontoonError(
      "NO_DAEMON",
      this.socketPath,
      `the daemon does not answer on ${this.socketPath}: ${error.message}`,
      { cause: error },
    );
  }
}
