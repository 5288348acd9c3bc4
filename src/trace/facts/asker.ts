import { spawn } from "node:child_process";
import { json } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { withDeadline } from "../../../common/deadline.js";
import { anyOf, listOf, oneOf, optional, readerOf, record, text, amount } from "../../../common/shape.js";
import type { Transport } from "./world.js";

// What has to be asked, or sent, from inside a namespace is done by a process of its own there: `asker-child.ts`.

export type AskerTask =
  /** At servers of DNS, one after the other. */
  | { readonly kind: "resolve"; readonly name: string; readonly servers: readonly string[] }
  /** A connection, a datagram or a ping. @param size bytes of a ping's packet that may not be cut up */
  | {
      readonly kind: "send";
      readonly transport: Transport;
      readonly ip: string;
      readonly port: number | undefined;
    };

export type AskerReply =
  | { readonly kind: "addresses"; readonly ips: readonly string[] }
  | { readonly kind: "failed"; readonly errno: string }
  /** What came back, and after how many ms. */
  | {
      readonly kind: "sent";
      readonly outcome: "answered" | "refused" | "unreachable" | "silent";
      readonly errno?: string;
      readonly took: number;
    };

const program = fileURLToPath(new URL("asker-child.js", import.meta.url));
/** Until a child is given up, ms: its own limits are shorter. */
const patience = 15_000;

const read = readerOf<AskerReply>(
  anyOf(
    record<{ kind: unknown; ips: unknown }>({ kind: oneOf("addresses"), ips: listOf(text(64), 1000) }),
    record<{ kind: unknown; errno: unknown }>({ kind: oneOf("failed"), errno: text(100) }),
    record<{ kind: unknown; outcome: unknown; errno: unknown; took: unknown }>({
      kind: oneOf("sent"),
      outcome: oneOf("answered", "refused", "unreachable", "silent"),
      errno: optional(text(100)),
      took: amount,
    }),
  ),
);

/** Has a task done in a namespace. @param path of it; undefined for the host's own */
export async function askFrom(path: string | undefined, task: AskerTask): Promise<AskerReply> {
  const child = spawn(process.execPath, [program, JSON.stringify({ path, task })], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const reply = await withDeadline(patience, json(child.stdout), () => new Error("no answer"));
    return read(reply) ?? { kind: "failed", errno: "EPROTO" };
  } catch {
    return { kind: "failed", errno: "ETIMEDOUT" };
  } finally {
    child.kill("SIGKILL");
  }
}
