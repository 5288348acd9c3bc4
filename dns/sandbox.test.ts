import t from "tap";
import { ForwarderBench } from "./testing/forwarder.js";

t.test("upstreams that are ourselves are left out, however they are written", (t) => {
  const bench = new ForwarderBench(t);
  const sandbox = (ip: string, from: "host" | "container" = "container") =>
    bench.sandbox("s", [{ ip, port: 53, from }]);
  for (const ip of ["127.0.0.11", "::ffff:127.0.0.11", "::FFFF:7f00:b"]) t.same(sandbox(ip).upstreams, [], ip);
  t.same(sandbox("127.0.0.11", "host").upstreams.length, 1, "on the host that address is somebody else's");
  t.end();
});

t.test("containers share what they were told by the same upstreams, of which one address may mean several", (t) => {
  const bench = new ForwarderBench(t);
  const setOf = (id: string, ip: string, from: "host" | "container" = "container") =>
    bench.sandbox(id, [{ ip, port: 53, from }]).upstreamSet;
  for (const ip of ["10.0.0.2", "2001:db8::1"]) t.equal(setOf("a", ip), setOf("b", ip), ip);
  t.equal(setOf("a", "2001:DB8:0::1"), setOf("b", "2001:db8::1"), "in whatever spelling");
  t.equal(setOf("a", "127.0.0.53", "host"), setOf("b", "127.0.0.53", "host"));
  for (const ip of ["127.0.0.1", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1"])
    t.not(setOf("a", ip), setOf("b", ip), `${ip} is another server in every container`);
  t.end();
});

t.test("a server on a link keeps its link, in whatever spelling", (t) => {
  const bench = new ForwarderBench(t);
  const ipOf = (ip: string) => bench.sandbox("s", [{ ip, port: 53, from: "host" }]).upstreams[0]?.ip;
  t.same(["fe80::1%3", "FE80:0::1%3", "fe80::1"].map(ipOf), ["fe80::1%3", "fe80::1%3", "fe80::1"]);
  t.end();
});
