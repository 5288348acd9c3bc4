import t from "tap";
import { parseIperf } from "./iperf.js";

const report = {
  intervals: [{ sum: { bits_per_second: 12e9 } }, { sum: { bits_per_second: 14e9 } }],
  end: { sum_received: { bytes: 3_250_000_000, bits_per_second: 13e9 } },
};

t.test("what iperf3 reports is read", (t) => {
  t.same(parseIperf(JSON.stringify(report)), { bytes: 3_250_000_000, gigabitsPerSecond: 13, seconds: [12, 14] });
  t.end();
});

t.test("a report of a failure, or none, is an error", (t) => {
  t.throws(
    () => parseIperf(JSON.stringify({ intervals: [], end: {}, error: "unable to connect" })),
    /unable to connect/,
  );
  t.throws(() => parseIperf("killed"), /killed/);
  t.end();
});
