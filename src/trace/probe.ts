import { formatAddress, bracketed } from "../../common/address.js";
import type { AskerReply } from "./facts/asker.js";
import type { Step, Trace } from "./steps.js";

type Sent = AskerReply & { readonly kind: "sent" };

/** Where a real packet was sent. */
export interface ProbedAt {
  readonly ip: string;
  readonly port: number | undefined;
  readonly transport: "tcp" | "udp" | "icmp";
}

/** A trace beside what became of a real packet: which one is right, where they differ. */
export function withProbe(trace: Trace, at: ProbedAt, reply: AskerReply): Trace {
  const what =
    at.port === undefined
      ? `a ping to ${bracketed(at.ip)}`
      : `${at.transport} to ${formatAddress({ ip: at.ip, port: at.port })}`;
  if (reply.kind !== "sent") return noted(trace, { verdict: "warns", text: `${what} could not be sent` });
  const heard = `${what}: ${heardWords(reply)}`;
  const seems = arrives(at, reply);
  if (seems === undefined) return noted(trace, { verdict: "passes", text: `${heard}, which says neither` });
  if (seems === trace.end.arrives) return noted(trace, { verdict: "passes", text: `${heard}, as expected` });
  const contradiction = seems ? "it arrives all the same" : "it does not arrive all the same";
  return {
    ...noted(trace, { verdict: seems ? "warns" : "stops", text: `${heard}: ${contradiction}` }),
    end: {
      arrives: seems,
      where: trace.end.where,
      why: `${contradiction} (${heard}), against what was reasoned: ${trace.end.why}`,
      ...(trace.end.remedy !== undefined && { remedy: trace.end.remedy }),
    },
  };
}

/** Whether it has arrived; undefined when that is not told: programs need not answer a datagram. */
function arrives({ transport }: ProbedAt, { outcome }: Sent): boolean | undefined {
  if (outcome === "answered") return true;
  return transport === "udp" && outcome === "silent" ? undefined : false;
}

function heardWords({ outcome, errno, took }: Sent): string {
  switch (outcome) {
    case "answered":
      return `answered after ${took} ms`;
    case "refused":
      return `refused after ${took} ms`;
    case "unreachable":
      return `cannot be reached (${errno ?? "no reason"})`;
    case "silent":
      return `nothing came back within ${Math.round(took)} ms`;
  }
}

function noted(trace: Trace, step: Pick<Step, "verdict" | "text">): Trace {
  return { ...trace, steps: [...trace.steps, { kind: "probe", where: trace.from, ...step }] };
}
