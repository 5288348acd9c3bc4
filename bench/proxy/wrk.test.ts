import t from "tap";
import { parseWrk } from "./wrk.js";

const output = `Running 2s test @ http://127.0.0.1:20000/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   594.57us  241.99us  10.56ms   96.44%
    Req/Sec    53.52k     1.90k   55.67k    80.95%
  Latency Distribution
     50%  564.00us
     75%  621.00us
     90%  700.00us
     99%    1.09ms
  111808 requests in 2.10s, 6.72MB read
Requests/sec:  53262.51
Transfer/sec:      3.20MB
`;

t.test("what wrk prints is read", (t) => {
  t.same(parseWrk(output), {
    requests: 111_808,
    requestsPerSecond: 53_262.51,
    latency: { p50: 0.564, p99: 1.09 },
    errors: 0,
  });
  const failed = output.replace(
    "Requests/sec",
    "  Socket errors: connect 1, read 20, write 300, timeout 4000\n  Non-2xx or 3xx responses: 50000\nRequests/sec",
  );
  t.equal(parseWrk(failed).errors, 54_321);
  t.end();
});

t.test("output without statistics is an error that shows it", (t) => {
  t.throws(() => parseWrk("unable to connect"), /unable to connect/);
  t.end();
});
