// Stands between a host's daemon and a member of etcd, on the member's port of the host's own loopback address. It passes
// everything on as it is, but can hold one question: before etcd hears of it, or before the daemon hears the answer.
import { once } from "node:events";
import { createServer, request, type IncomingMessage, type ServerResponse } from "node:http";
import { answerRequests } from "./helper-child.js";

/** Which of the questions from now on is held. */
export interface GateTrap {
  /** From 1 on. Only what reads or changes records counts: no leases, no watches. */
  readonly at: number;
  readonly when: "before" | "after";
}

export type GateRequest =
  | { readonly kind: "listen"; readonly member: string; readonly port: number }
  | { readonly kind: "set"; readonly trap: GateTrap }
  /** Answered when the question is held, or the trap is taken away. */
  | { readonly kind: "wait" }
  /** What is held is dropped. */
  | { readonly kind: "take away" };

/** Whether a question is held. */
export type GateReply = boolean;

const countedPaths = ["/v3/kv/range", "/v3/kv/txn"];

let trap: GateTrap | undefined;
let counted = 0;
let held: ServerResponse | undefined;
let whenSettled: (() => void)[] = [];

answerRequests(async (asked: GateRequest): Promise<GateReply> => {
  if (asked.kind === "listen") await listen(asked.member, asked.port);
  if (asked.kind === "set") [trap, counted] = [asked.trap, 0];
  if (asked.kind === "wait" && trap && !held) await new Promise<void>((resolve) => whenSettled.push(resolve));
  const isHeld = held !== undefined;
  if (asked.kind === "take away") takeAway();
  return isHeld;
});

async function listen(member: string, port: number): Promise<void> {
  const server = createServer((incoming, answer) => void pass(member, port, incoming, answer));
  server.requestTimeout = 0; // watches last
  await once(server.listen(port, "127.0.0.1"), "listening");
}

async function pass(member: string, port: number, incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
  incoming.on("error", () => undefined);
  answer.on("error", () => undefined);
  const when = isTrapped(incoming.url!) ? trap!.when : undefined;
  try {
    const body = await whole(incoming);
    if (when === "before") return hold(answer);
    const { method, url: path, headers } = incoming;
    const upstream = request({ host: member, port, method, path, headers });
    answer.on("close", () => upstream.destroy());
    upstream.end(body);
    const [reply] = (await once(upstream, "response")) as [IncomingMessage];
    if (when === "after") {
      await whole(reply);
      return hold(answer);
    }
    reply.on("error", () => answer.destroy());
    answer.writeHead(reply.statusCode!, reply.headers);
    answer.flushHeaders();
    reply.pipe(answer);
  } catch {
    answer.destroy(); // as if there were nobody
  }
}

function isTrapped(path: string): boolean {
  return trap !== undefined && countedPaths.includes(path) && ++counted === trap.at;
}

function hold(answer: ServerResponse): void {
  held = answer;
  settle();
}

function takeAway(): void {
  held?.destroy();
  trap = held = undefined;
  settle();
}

function settle(): void {
  for (const resolve of whenSettled) resolve();
  whenSettled = [];
}

async function whole(message: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of message as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts);
}
