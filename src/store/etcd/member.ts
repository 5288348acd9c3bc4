import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { describeError, PontoonError } from "../../../common/errors.js";
import { Lines } from "./lines.js";
import { endpointName, type Endpoint } from "./store-url.js";
import type { Attempt } from "./verdict.js";

/** Files that TLS with etcd takes, PEM. */
export interface StoreTls {
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Bytes of an answer, at most: a page of the longest records there can be is shorter. */
const answerAtMost = 96 * 1024 * 1024;
/** Requests at one time; more wait, within their deadlines. */
const socketsAtMost = 16;
/** ms until a connection has to stand. On one network it takes one or two, and a lost packet costs a second. */
const connectTime = 2_500;
/** ms of silence after which the kernel asks a stream's peer, and 10 s later has given it up (libuv: 10 times, each second). */
const probeAfter = 5_000;

/** What is told of a stream. After `onEnd` nothing is. */
export interface StreamEvents {
  /** Something of JSON. */
  onLine(line: unknown): void;
  onEnd(error: Error): void;
}

/** One member of etcd, and the connections to it. */
export class Member {
  readonly name: string;
  #agent: http.Agent | undefined;

  constructor(
    readonly endpoint: Endpoint,
    private readonly tls: StoreTls | undefined,
  ) {
    this.name = endpointName(endpoint);
  }

  /** Sends one request, once. Never rejects. @param time ms that it may take */
  request(path: string, body: unknown, token: string, time: number, signal: AbortSignal): Promise<Attempt> {
    return new Promise((resolve) => {
      let isSent = false;
      const settle = (attempt: Attempt): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", abort);
        resolve(attempt);
      };
      const fail = (error: Error): void => {
        settle({ kind: "failed", isSent, error: new Error(`${this.name}: ${describeError(error)}`) });
        dropRequest(request);
      };
      const abort = (): void => fail(new Error("the store was closed"));
      const timer = setTimeout(() => fail(new Error(`no answer within ${Math.round(time)} ms`)), time);
      let request: http.ClientRequest | undefined;
      try {
        this.#agent ??= this.#makeAgent({ keepAlive: true, maxSockets: socketsAtMost });
        request = this.#send(this.#agent, path, body, token, () => (isSent = true));
      } catch (error) {
        return fail(error as Error);
      }
      signal.addEventListener("abort", abort);
      request.on("error", fail);
      request.on("response", (response) => {
        readAll(response, answerAtMost).then(
          (text) => settle(answered(response.statusCode ?? 0, text)),
          (error: Error) => fail(error),
        );
      });
    });
  }

  /** Opens a stream on a connection of its own. @returns what ends it, without `onEnd` */
  stream(path: string, body: unknown, token: string, events: StreamEvents): () => void {
    let isOver = false;
    let request: http.ClientRequest | undefined;
    const end = (error: Error): void => {
      if (isOver) return;
      close();
      events.onEnd(new Error(`${this.name}: ${describeError(error)}`));
    };
    const close = (): void => {
      isOver = true;
      dropRequest(request);
    };
    const lines = new Lines((line) => void (isOver || events.onLine(line)));
    try {
      request = this.#send(this.#makeAgent({ keepAlive: false }), path, body, token, () => undefined);
    } catch (error) {
      queueMicrotask(() => end(error as Error));
      return close;
    }
    request.on("error", end);
    request.on("socket", (socket) => socket.setKeepAlive(true, probeAfter));
    request.on("response", (response) => {
      response.on("data", (bytes: Buffer) => {
        const fault = isOver ? undefined : lines.take(bytes);
        if (fault) end(fault);
      });
      response.on("error", end);
      response.on("close", () => end(new Error("the stream ended")));
    });
    return close;
  }

  /** Lets go of idle connections, of which nobody knows whether they lead anywhere still. */
  forget(): void {
    for (const idle of Object.values(this.#agent?.freeSockets ?? {}).flat()) idle?.destroy();
  }

  /** Ends all connections of requests. */
  close(): void {
    this.#agent?.destroy();
    this.#agent = undefined;
  }

  #makeAgent(options: http.AgentOptions): http.Agent {
    if (!this.tls) return new http.Agent(options);
    const { ca, cert, key } = this.tls;
    return new https.Agent({
      ...options,
      ca: readPem(ca),
      ...(cert === undefined ? {} : { cert: readPem(cert) }),
      ...(key === undefined ? {} : { key: readPem(key) }),
    });
  }

  #send(agent: http.Agent, path: string, body: unknown, token: string, onSent: () => void): http.ClientRequest {
    const bytes = Buffer.from(JSON.stringify(body));
    const request = (this.tls ? https : http).request({
      ...this.endpoint,
      agent,
      path,
      method: "POST",
      headers: {
        "content-type": "application/json",
        "content-length": bytes.length,
        // A member without a leader says so, instead of letting its clients wait (etcd's issue 10819).
        "grpc-metadata-hasleader": "true",
        ...(token === "" ? {} : { authorization: token }),
      },
    });
    request.on("socket", (socket) => whenConnected(socket, request, this.tls !== undefined, onSent));
    request.end(bytes);
    return request;
  }
}

/** Nothing is sent before the connection stands. */
function whenConnected(socket: Socket, request: http.ClientRequest, isTls: boolean, connected: () => void): void {
  if (!socket.connecting && (!isTls || request.reusedSocket)) return connected();
  const timer = setTimeout(() => request.destroy(new Error(`no connection within ${connectTime} ms`)), connectTime);
  socket.once("close", () => clearTimeout(timer));
  socket.once(isTls ? "secureConnect" : "connect", () => {
    clearTimeout(timer);
    connected();
  });
}

/** By a reset: what the kernel has not sent yet must not reach etcd later on, when the caller has decided otherwise. */
function dropRequest(request: http.ClientRequest | undefined): void {
  if (!request) return;
  request.on("error", () => undefined); // it was told already, or nobody waits
  const { socket } = request;
  // Node has no reset for TLS. One that is being shut down has sent everything, and Node would lose a socket that it cannot reset:
  // it stays open, and the thread never ends.
  if (socket && !(socket instanceof TLSSocket) && !socket.writableEnded) socket.resetAndDestroy();
  request.destroy();
}

async function readAll(response: http.IncomingMessage, atMost: number): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > atMost) throw new Error(`its answer has more than ${atMost} bytes`);
    parts.push(part);
  }
  if (!response.complete) throw new Error("its answer ended too early");
  return Buffer.concat(parts).toString();
}

function answered(status: number, text: string): Attempt {
  try {
    return { kind: "answered", status, body: JSON.parse(text) as unknown };
  } catch {
    const told = JSON.stringify(text.slice(0, 80));
    return {
      kind: "failed",
      isSent: true,
      error: new Error(`it answered ${told} (HTTP ${status}), which is not JSON`),
    };
  }
}

function readPem(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new PontoonError("STORE_TLS_UNREADABLE", path, `${path} cannot be read (${describeError(error)})`);
  }
}
