import t from "tap";
import { parseDnsperf } from "./dnsperf.js";

const output = `Statistics:

  Queries sent:         380512
  Queries completed:    380502 (100.00%)
  Queries lost:         10 (0.00%)

  Response codes:       NOERROR 380500 (100.00%), SERVFAIL 2 (0.00%)
  Average packet size:  request 25, response 45
  Run time (s):         3.000123
  Queries per second:   126828.800006

  Average Latency (s):  0.000260 (min 0.000021, max 0.004125)
  Latency StdDev (s):   0.000118
`;

t.test("what dnsperf prints is read", (t) => {
  const { latency, ...load } = parseDnsperf(output);
  t.same(load, {
    queriesPerSecond: 126_828.800006,
    sent: 380_512,
    completed: 380_502,
    lost: 10,
    rcodes: { NOERROR: 380_500, SERVFAIL: 2 },
    ranFor: 3.000123,
  });
  t.matchOnly(
    [latency.average, latency.deviation, latency.max].map((ms) => ms.toFixed(3)),
    ["0.260", "0.118", "4.125"],
  );
  t.end();
});

t.test("output without statistics is an error that shows it", (t) => {
  t.throws(() => parseDnsperf("Error: unable to connect"), /unable to connect/);
  t.end();
});
