import t from "tap";
import { Networks } from "./networks.js";
import { checkPublication, defaults, type Publication } from "./publication.js";

const publication: Publication = {
  id: "web",
  protocol: "tcp",
  listen: { ip: "0.0.0.0", port: 80 },
  target: { ip: "172.18.0.2", port: 8080 },
  options: {},
};

t.test("options that are left out have their defaults", (t) => {
  t.same(checkPublication(publication), defaults);
  t.equal(checkPublication({ ...publication, options: { drainMs: 0 } }).drainMs, 0);
  t.end();
});

t.test("what makes no sense is refused, with the publication and the reason", (t) => {
  const refused = (change: Partial<Publication>, reason: RegExp) =>
    t.throws(() => checkPublication({ ...publication, ...change }), {
      code: "PUBLICATION_INVALID",
      subject: "web",
      message: reason,
    });
  refused({ target: { ip: "web", port: 80 } }, /web is not an address/);
  refused({ listen: { ip: "::", port: 65536 } }, /65536 is not a port/);
  refused({ target: { ip: "::1", port: 0 } }, /port is missing/);
  refused({ options: { connectTimeoutMs: 0 } }, /connectTimeoutMs must be more than 0/);
  refused({ options: { maxConnections: -1 } }, /maxConnections/);
  refused({ options: { udpFlows: NaN } }, /udpFlows/);
  refused({ options: { allowFrom: ["10.0.0.0/33"] } }, /allowFrom: 10\.0\.0\.0\/33 is not a network/);
  refused({ options: { acceptProxyProtocolFrom: ["all"] } }, /acceptProxyProtocolFrom: all/);
  refused({ protocol: "udp", options: { proxyProtocol: "v2" } }, /for TCP only/);
  t.end();
});

t.test("networks hold what lies in them", (t) => {
  const networks = new Networks(["10.1.0.0/16", "192.0.2.7", "fd00:1::/32", "::1"]);
  for (const ip of [
    "10.1.255.255",
    "192.0.2.7",
    "fd00:1:ffff::1",
    "::1",
    "::ffff:10.1.2.3",
    "::ffff:a01:203",
    "0::FFFF:10.1.2.3",
  ])
    t.ok(networks.includes(ip), ip);
  for (const ip of ["10.2.0.0", "192.0.2.8", "fd00:2::1", "::2", "::ffff:10.2.0.0"]) t.notOk(networks.includes(ip), ip);
  t.equal(new Networks([]).isEmpty, true);
  t.ok(new Networks(["0.0.0.0/0"]).includes("203.0.113.1"));
  for (const wrong of [
    "10.0.0.0/",
    "10.0.0.0/8/8",
    "10.0.0.0/-1",
    "::/129",
    "fe80::1%eth0/64",
    "",
    "10.0.0/8",
    "010.0.0.0/8",
  ])
    t.throws(() => new Networks([wrong]), RangeError, wrong);
  t.end();
});
