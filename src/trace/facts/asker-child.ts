// Lives in another network namespace from its beginning, does one thing there, and tells what came of it.
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { connect } from "node:net";
import { errorCode } from "../../../common/errors.js";
import { familyOf } from "../../../common/address.js";
import { joinNamespace } from "../../../linux/enter-namespace.js";
import { Ping } from "../../../linux/ping.js";
import type { AskerReply, AskerTask } from "./asker.js";

/** Until nothing is expected to come back, ms. */
const sendTime = 2000;
const resolveTime = 2000;

const { path, task } = JSON.parse(process.argv[2] ?? "") as { path?: string; task: AskerTask };
if (path !== undefined) joinNamespace(path);
const reply = task.kind === "resolve" ? await resolve(task) : await send(task);
process.stdout.write(JSON.stringify(reply), () => process.exit(0));

async function resolve({ name, servers }: AskerTask & { kind: "resolve" }): Promise<AskerReply> {
  const resolver = new Resolver({ timeout: resolveTime, tries: 1 });
  resolver.setServers([...servers]);
  const [four, six] = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  const found = [four, six].flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
  if (found.length > 0 || four.status === "fulfilled") return { kind: "addresses", ips: found };
  return { kind: "failed", errno: errorCode(four.reason) ?? "UNKNOWN" };
}

async function send(task: AskerTask & { kind: "send" }): Promise<AskerReply> {
  const began = performance.now();
  const { transport } = task;
  const outcome = await (transport === "tcp" ? overTcp(task) : transport === "udp" ? overUdp(task) : ping(task.ip));
  return { kind: "sent", ...outcome, took: Math.round((performance.now() - began) * 10) / 10 };
}

type Outcome = { outcome: "answered" | "refused" | "unreachable" | "silent"; errno?: string };

function overTcp({ ip, port }: AskerTask & { kind: "send" }): Promise<Outcome> {
  return new Promise((resolve) => {
    const socket = connect({ host: ip, port: port ?? 0 });
    const end = (outcome: Outcome) => {
      socket.destroy();
      resolve(outcome);
    };
    socket.on("connect", () => end({ outcome: "answered" }));
    socket.on("error", (error) => end(outcomeOf(error)));
    setTimeout(() => end({ outcome: "silent" }), sendTime);
  });
}

/** A program need not answer what it does not understand: silence says little. */
function overUdp({ ip, port }: AskerTask & { kind: "send" }): Promise<Outcome> {
  return new Promise((resolve) => {
    const socket = createSocket(familyOf(ip) === "ipv4" ? "udp4" : "udp6");
    const end = (outcome: Outcome) => resolve(outcome);
    socket.on("message", () => end({ outcome: "answered" }));
    socket.on("error", (error) => end(outcomeOf(error)));
    socket.connect(port ?? 0, ip, (error?: Error | null) => {
      if (error) return end(outcomeOf(error));
      socket.send(Buffer.of(0), () => undefined);
    });
    setTimeout(() => end({ outcome: "silent" }), sendTime);
  });
}

async function ping(ip: string): Promise<Outcome> {
  let socket: Ping | undefined;
  try {
    socket = new Ping(ip);
    socket.send();
    for (const until = performance.now() + sendTime; performance.now() < until;) {
      if (socket.hasAnswered()) return { outcome: "answered" };
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return { outcome: "silent" };
  } catch (error) {
    return outcomeOf(error);
  } finally {
    socket?.close();
  }
}

function outcomeOf(error: unknown): Outcome {
  const errno = errorCode(error) ?? "UNKNOWN";
  return { outcome: errno === "ECONNREFUSED" ? "refused" : "unreachable", errno };
}
