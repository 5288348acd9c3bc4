import { once } from "node:events";
import { createSocket } from "node:dgram";
import { Worker } from "node:worker_threads";
import t from "tap";
import { encodeQuery } from "../../integration/lab/dns-message.js";
import { percentilesOf, runPaced } from "./paced-client.js";

/** Answers as the first letter of the name says: with an answer, with an error, or not at all. In a thread: the client blocks this one. */
const server = `
  const { createSocket } = require("node:dgram");
  const { parentPort } = require("node:worker_threads");
  const socket = createSocket("udp4", (query, from) => {
    const kind = String.fromCharCode(query[13]);
    query[2] |= 0x80;
    if (kind === "e") query[3] |= 3;
    if (kind !== "s") socket.send(query, from.port, from.address);
  });
  socket.bind(0, "127.0.0.1", () => parentPort.postMessage(socket.address().port));
`;

t.test("every query is accounted for: answered, answered with an error, or lost", async (t) => {
  const worker = new Worker(server, { eval: true });
  t.teardown(() => worker.terminate());
  const [port] = (await once(worker, "message")) as [number];
  const queries = ["answered", "error", "silent", "also-answered"].map((name) => encodeQuery(name, "A"));
  const result = runPaced({ server: { ip: "127.0.0.1", port }, rate: 1000, seconds: 0.2, warmUpSeconds: 0.1 }, queries);
  t.match(result, { sent: 200, lost: 50, errors: 50 });
  t.ok(result.latency.p50 > 0 && result.latency.p50 < result.latency.p99, "what is lost counts as slow");
  t.equal(result.latency.max, 5000);
});

t.test("a server that is not there loses everything and ends in time", async (t) => {
  const socket = createSocket("udp4").bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address(); // bound, and never read
  const { sent, lost } = runPaced({ server: { ip: "127.0.0.1", port }, rate: 1000, seconds: 0.05, warmUpSeconds: 0 }, [
    encodeQuery("a", "A"),
  ]);
  socket.close();
  t.same([sent, lost], [50, 50]);
});

t.test("percentiles of many times", (t) => {
  const times = Float64Array.from({ length: 1000 }, (_, index) => 1000 - index);
  t.same(percentilesOf(times), { p50: 500, p99: 990, p999: 999, max: 1000 });
  t.end();
});
