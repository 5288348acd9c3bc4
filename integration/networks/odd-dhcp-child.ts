// A DHCP server as a test would have it, in some network namespace. By its own bytes: pontoon's are what is tested.
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { answerRequests } from "../lab/helper-child.js";

/** What is answered from now on. */
export interface Lending {
  /** Offered in order, the next one whenever one is declined; none to say nothing at all. */
  readonly ips: readonly string[];
  /** Of the lease. */
  readonly seconds: number;
  /** Further options, by code, hexadecimal; they come before all others and may be what no server sends. */
  readonly options?: readonly (readonly [code: number, value: string])[];
  /** Bytes behind the options, in place of their end, hexadecimal. */
  readonly tail?: string;
  /** Without the options that belong to a lease. */
  readonly isBare?: boolean;
  /** Refuses every request for an address. */
  readonly refuses?: boolean;
}

export type OddRequest =
  { readonly kind: "lend"; readonly own: string; readonly lending: Lending } | { readonly kind: "heard" };

const kinds = ["", "discover", "offer", "request", "decline", "ack", "nak", "release"];
const socket = createSocket({ type: "udp4", reuseAddr: true });
const heard: string[] = [];
let own = "0.0.0.0";
let lending: Lending = { ips: [], seconds: 0 };
let declined = 0;

socket.on("message", (message) => {
  const options = optionsOf(message);
  const kind = kinds[options.get(53)?.[0] ?? 0]!;
  heard.push(kind);
  if (kind === "decline") declined++;
  const ip = lending.ips[declined];
  if (ip === undefined || !["discover", "request"].includes(kind)) return;
  if (kind === "discover") return reply(message, 2, ip);
  reply(message, lending.refuses === true ? 6 : 5, ip);
});
await once(socket.bind(67), "listening");
socket.setBroadcast(true);

answerRequests<OddRequest, string[]>((request) => {
  if (request.kind === "lend") {
    ({ own, lending } = request);
    declined = 0;
  }
  return Promise.resolve([...heard]);
});

function reply(message: Buffer, type: number, ip: string): void {
  const header = Buffer.from(message.subarray(0, 240));
  header[0] = 2;
  bytesOf(type === 6 ? "0.0.0.0" : ip).copy(header, 16);
  const seconds = Buffer.alloc(4);
  seconds.writeUInt32BE(lending.seconds);
  const own53 = Buffer.concat([Buffer.of(53, 1, type, 54, 4), bytesOf(own)]);
  const more = (lending.options ?? []).map(([code, value]) => optionOf(code, Buffer.from(value, "hex")));
  const usual =
    lending.isBare === true || type === 6
      ? []
      : [optionOf(51, seconds), optionOf(1, bytesOf("255.255.255.0")), optionOf(3, bytesOf(own))];
  const tail = Buffer.from(lending.tail ?? "ff", "hex");
  socket.send(Buffer.concat([header, own53, ...more, ...usual, tail]), 68, "255.255.255.255");
}

function optionOf(code: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.of(code, value.length), value]);
}

function optionsOf(message: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = 240; at < message.length && message[at] !== 255;) {
    if (message[at] === 0) {
      at++;
      continue;
    }
    found.set(message[at]!, message.subarray(at + 2, at + 2 + message[at + 1]!));
    at += 2 + message[at + 1]!;
  }
  return found;
}

function bytesOf(ip: string): Buffer {
  return Buffer.from(ip.split(".").map(Number));
}
