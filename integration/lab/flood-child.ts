// Runs in the network namespace of a container and asks its resolver for names nobody asked for before, at a steady rate.
// The request is its argument, in JSON; the report is its output.
import { DatagramBurst } from "./burst.js";
import { EPOLLIN } from "../../linux/constants.js";
import { Poller } from "../../linux/poller.js";
import { connectSocket, receiveBytes, udpSocket, WOULD_BLOCK } from "../../linux/socket.js";
import { encodeQuery } from "./dns-message.js";

export interface FloodRequest {
  perSecond: number;
  seconds: number;
  /** What every name ends with. */
  suffix: string;
  server: string;
}

export interface FloodReport {
  sent: number;
  replies: number;
  /** Replies by number of response code. */
  rcodes: Record<number, number>;
}

const digits = 9;
const { perSecond, seconds, suffix, server } = JSON.parse(process.argv[2]!) as FloodRequest;
const report: FloodReport = { sent: 0, replies: 0, rcodes: {} };
const fd = udpSocket();
const poller = new Poller();
const burst = new DatagramBurst(64, 512);
const scratch = Buffer.from(new ArrayBuffer(4096));
const query = encodeQuery(`${"0".repeat(digits)}.${suffix}`, "A");
connectSocket(fd, { ip: server, port: 53 });
poller.watch(fd, EPOLLIN, receive);

const began = performance.now();
for (let now = began; now < began + seconds * 1000; now = performance.now()) {
  // What fell behind is made up for, up to a tenth of a second's worth.
  const due = ((now - began) / 1000) * perSecond;
  if (due - report.sent > perSecond / 10) report.sent = Math.floor(due - perSecond / 10);
  while (report.sent < due && flush());
  poller.dispatch(1);
}
process.stdout.write(JSON.stringify(report), () => process.exit());

function flush(): boolean {
  for (;;) {
    query.write(String(report.sent).padStart(digits, "0"), 13, "latin1");
    query.writeUInt16BE(report.sent & 0xffff, 0);
    if (!burst.add(query)) break;
    report.sent++;
  }
  return burst.send(fd) > 0;
}

function receive(): void {
  for (;;) {
    const length = receiveBytes(fd, scratch);
    if (length === WOULD_BLOCK) return;
    report.replies++;
    const rcode = scratch[3]! & 15;
    report.rcodes[rcode] = (report.rcodes[rcode] ?? 0) + 1;
  }
}
