import t from "tap";
import { withProbe } from "./probe.js";
import type { Trace } from "./steps.js";

const trace = (arrives: boolean): Trace => ({
  from: "a",
  to: "b:80",
  steps: [],
  end: { arrives, where: "b", why: "so it was reasoned", remedy: "a command" },
});
const at = { ip: "fd00::2", port: 80, transport: "tcp" } as const;
const sent = (outcome: "answered" | "refused" | "unreachable" | "silent") =>
  ({ kind: "sent", outcome, took: 3 }) as const;

t.test("a packet that does what was reasoned confirms it", (t) => {
  for (const [arrives, outcome] of [
    [true, "answered"],
    [false, "refused"],
    [false, "silent"],
    [false, "unreachable"],
  ] as const) {
    const { steps, end } = withProbe(trace(arrives), at, sent(outcome));
    t.equal(end.arrives, arrives);
    t.match(steps, { length: 1, 0: { verdict: "passes", text: /^tcp to \[fd00::2\]:80: .*, as expected$/ } });
  }
  t.end();
});

t.test("where the two differ, the packet is right", (t) => {
  const lost = withProbe(trace(true), at, sent("silent"));
  t.match(lost.end, {
    arrives: false,
    where: "b",
    remedy: "a command",
    why: /^it does not arrive all the same .*: so it was reasoned$/,
  });
  t.match(lost.steps, { length: 1, 0: { verdict: "stops" } });
  const found = withProbe(trace(false), at, sent("answered"));
  t.match(found.end, { arrives: true, why: /^it arrives all the same \(tcp to .* answered after 3 ms\)/ });
  t.end();
});

t.test("a datagram without an answer, and one that could not be sent, say neither", (t) => {
  const udp = { ...at, transport: "udp" } as const;
  for (const arrives of [true, false]) {
    t.same(withProbe(trace(arrives), udp, sent("silent")).end, trace(arrives).end);
    t.same(withProbe(trace(arrives), at, { kind: "failed", errno: "EPERM" }).end, trace(arrives).end);
  }
  t.end();
});
