// Runs in the network namespace of a container and asks its resolver for names at a steady pace, each once, measuring how
// long each answer takes. The request is its argument, in JSON; the report is its output.
import { EPOLLIN } from "../../linux/constants.js";
import { Poller } from "../../linux/poller.js";
import { connectSocket, receiveBytes, sendBytes, udpSocket, WOULD_BLOCK } from "../../linux/socket.js";
import { encodeQuery } from "./dns-message.js";

export interface SteadyRequest {
  perSecond: number;
  count: number;
  /** Asked for in turn; `*` in a name becomes a number of its own each time. */
  names: string[];
  server: string;
}

export interface SteadyReport {
  sent: number;
  lost: number;
  /** Milliseconds, one for each answer, by name. */
  latencies: Record<string, number[]>;
  /** Answers by name and number of response code: `web 0`. */
  answers: Record<string, number>;
}

const patience = 5000; // ms
const { perSecond, count, names, server } = JSON.parse(process.argv[2]!) as SteadyRequest;
const report: SteadyReport = { sent: 0, lost: 0, latencies: {}, answers: {} };
const waiting = new Map<number, { name: string; sentAt: number }>();
const fd = udpSocket();
const poller = new Poller();
const scratch = Buffer.from(new ArrayBuffer(4096));
connectSocket(fd, { ip: server, port: 53 });
poller.watch(fd, EPOLLIN, receive);

const run = Date.now().toString(36);
const began = performance.now();
let lastSent = began;
while (report.sent < count || (waiting.size > 0 && performance.now() < lastSent + patience)) {
  const due = began + (report.sent / perSecond) * 1000;
  if (report.sent < count && performance.now() >= due) ask(report.sent++);
  else poller.dispatch(report.sent < count ? Math.max(1, Math.ceil(due - performance.now())) : 50);
}
report.lost = waiting.size;
process.stdout.write(JSON.stringify(report), () => process.exit());

function ask(index: number): void {
  const name = names[index % names.length]!;
  const query = encodeQuery(name.replace("*", `${run}-${index}`), "A");
  query.writeUInt16BE(index & 0xffff, 0);
  lastSent = performance.now();
  waiting.set(index & 0xffff, { name, sentAt: lastSent });
  sendBytes(fd, query);
}

function receive(): void {
  for (;;) {
    const length = receiveBytes(fd, scratch);
    if (length === WOULD_BLOCK) return;
    const now = performance.now();
    const id = scratch.readUInt16BE(0);
    const asked = waiting.get(id);
    if (!asked) continue;
    waiting.delete(id);
    (report.latencies[asked.name] ??= []).push(now - asked.sentAt);
    const answer = `${asked.name} ${scratch[3]! & 15}`;
    report.answers[answer] = (report.answers[answer] ?? 0) + 1;
  }
}
