import { request } from "node:http";

/** The answer to a request over a unix socket. */
export interface UnixResponse {
  status: number;
  body: string;
}

/** What a request over a unix socket carries. */
export interface UnixRequest {
  method?: string;
  /** A buffer is sent as it is, anything else as JSON. */
  body?: unknown;
  timeoutMs?: number;
}

/** Makes one HTTP request over the unix socket at `socketPath`, on a connection of its own. */
export function requestUnix(socketPath: string, path: string, options: UnixRequest = {}): Promise<UnixResponse> {
  const { method = "GET", body, timeoutMs = 30_000 } = options;
  const raw = Buffer.isBuffer(body);
  const payload = raw ? body : body === undefined ? undefined : JSON.stringify(body);
  const headers = {
    host: "localhost",
    ...(payload !== undefined && {
      "content-type": raw ? "application/x-tar" : "application/json",
      "content-length": Buffer.byteLength(payload),
    }),
  };
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const outgoing = request({ socketPath, path, method, headers, agent: false, signal }, (incoming) => {
      let text = "";
      incoming.setEncoding("utf8");
      incoming.on("data", (chunk: string) => (text += chunk));
      incoming.on("error", reject);
      incoming.on("end", () => resolve({ status: incoming.statusCode ?? 0, body: text }));
    });
    outgoing.on("error", reject);
    outgoing.end(payload);
  });
}
