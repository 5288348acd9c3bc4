// Runs in the network namespace of a container and sends it the queries a test asks for.
import { createSocket } from "node:dgram";
import { existsSync } from "node:fs";
import { connect, isIPv6 } from "node:net";
import { answerRequests } from "./helper-child.js";

/** One query for the probe to send. */
export interface ProbeRequest {
  bytes: Uint8Array;
  tcp: boolean;
  server: string;
  port: number;
  timeoutMs: number;
}

/** What came back for it. */
export interface ProbeReply {
  bytes: Uint8Array;
  elapsedMs: number;
}

const containerPid = process.argv[2];
// An idle process would keep the namespace of a dead container alive, which tests are there to notice.
if (containerPid !== undefined)
  setInterval(() => {
    if (!existsSync(`/proc/${containerPid}`)) process.exit();
  }, 50);

answerRequests(async (request: ProbeRequest): Promise<ProbeReply> => {
  const started = performance.now();
  const bytes = await (request.tcp ? overTcp(request) : overUdp(request));
  return { bytes, elapsedMs: performance.now() - started };
});

function overUdp({ bytes, server, port, timeoutMs }: ProbeRequest): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(server) ? "udp6" : "udp4");
    const timer = setTimeout(() => finish(() => reject(noAnswer(server, timeoutMs))), timeoutMs);
    function finish(settle: () => void): void {
      clearTimeout(timer);
      socket.close();
      settle();
    }
    socket.on("error", (error) => finish(() => reject(error)));
    socket.on("message", (message) => finish(() => resolve(message)));
    socket.connect(port, server, () => socket.send(bytes));
  });
}

function overTcp({ bytes, server, port, timeoutMs }: ProbeRequest): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const socket = connect(port, server);
    const timer = setTimeout(() => socket.destroy(noAnswer(server, timeoutMs)), timeoutMs);
    socket.on("error", reject);
    socket.on("close", () => {
      clearTimeout(timer);
      reject(new Error(`${server} closed the connection after ${received.length} bytes`));
    });
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      const message = firstMessage(received);
      if (message === undefined) return;
      resolve(message);
      socket.destroy();
    });
    socket.write(Buffer.concat([lengthPrefix(bytes), bytes]));
  });
}

function firstMessage(received: Buffer): Buffer | undefined {
  if (received.length < 2) return undefined;
  const end = 2 + received.readUInt16BE(0);
  return received.length < end ? undefined : received.subarray(2, end);
}

function lengthPrefix(bytes: Uint8Array): Buffer {
  const prefix = Buffer.alloc(2);
  prefix.writeUInt16BE(bytes.length);
  return prefix;
}

function noAnswer(server: string, timeoutMs: number): Error {
  return new Error(`no answer from ${server} within ${timeoutMs} ms`);
}
