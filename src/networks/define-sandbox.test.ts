import { statSync } from "node:fs";
import t from "tap";
import { createSandboxRequest } from "./contract.js";
import { defineSandbox } from "./define-sandbox.js";
import { refusalOf, registryOf, requestFor, sandboxRecord } from "./testing/records.js";

const registry = registryOf({ sandboxes: [sandboxRecord("taken")] });
const name = `ptt-define-${process.pid}`; // no namespace of this host has it
const define = (fields: object, hostInode?: number) =>
  defineSandbox(requestFor.sandbox({ name, ...fields }), registry, "1".repeat(64), "now", hostInode);
const ownNamespace = `/proc/${process.pid}/ns/net`;

t.test("a name is enough for a sandbox", (t) => {
  t.same(define({}), {
    id: "1".repeat(64),
    name,
    created: "now",
    namespace: { kind: "own" },
    inode: 0,
    hostname: name,
    exposed: [],
    dns: { servers: [], search: [], options: [] },
    extraHosts: [],
    labels: {},
  });
  t.equal(define({ name: `${name}_x` }).hostname, `${name}-x`);
  t.end();
});

t.test("what was asked for counts", (t) => {
  const fields = {
    adopt: ownNamespace,
    hostname: "web.example.org",
    exposed: ["80", "53/udp", "8000-8002/tcp"],
    dns: ["192.0.2.1", "2001:DB8:0::1"],
    extraHosts: ["db:192.0.2.7", "six:2001:db8::7"],
  };
  const sandbox = define(fields, 1);
  const inode = statSync(ownNamespace).ino;
  t.same(sandbox.namespace, { kind: "adopted", target: ownNamespace, inode }, "a process's is known by its inode");
  t.equal(sandbox.hostname, "web.example.org");
  t.same(sandbox.exposed, [
    [80, "tcp"],
    [53, "udp"],
    [8000, "tcp"],
    [8001, "tcp"],
    [8002, "tcp"],
  ]);
  t.equal(define({ exposed: ["1-40000"] }).exposed.length, 40_000);
  t.same(sandbox.dns.servers, ["192.0.2.1", "2001:db8::1"]);
  t.same(sandbox.extraHosts, [
    ["db", "192.0.2.7"],
    ["six", "2001:db8::7"],
  ]);
  t.end();
});

t.test("what cannot be is refused with a code and one sentence", (t) => {
  const cases: [fields: object, code: string, message: RegExp][] = [
    [{ name: "taken" }, "NAME_TAKEN", /^there is a sandbox taken already/],
    [{ adopt: ownNamespace }, "NAMESPACE_TAKEN", /the host itself; give another one$/],
    [{ adopt: "/proc/self/ns/net" }, "NAMESPACE_UNKNOWN", /is not a network namespace/],
    [{ adopt: `/proc/${process.pid}/ns/mnt` }, "NAMESPACE_UNKNOWN", /is not a network namespace/],
    [{ adopt: ownNamespace.slice(1) }, "NAMESPACE_UNKNOWN", /is not a network namespace/],
    [{ adopt: "/proc/self/ns/uts-not-there" }, "NAMESPACE_UNKNOWN", /is not a network namespace/],
    [{ adopt: "/etc/passwd" }, "NAMESPACE_UNKNOWN", /^\/etc\/passwd is not/],
    ...["0", "65536", "80-79", "1-70000", "80/icmp", "http", "-1", "80-", "80\n"].map(
      (port): [object, string, RegExp] => [{ exposed: [port] }, "PORT_INVALID", /is not a port; write it as/],
    ),
    [{ exposed: ["1-50000"] }, "PORT_INVALID", /more ports than one sandbox may expose \(40000\)$/],
    [{ exposed: Array<string>(1000).fill("1-40000") }, "PORT_INVALID", /^with 1-40000 there are more ports/],
    [{ dns: ["server"] }, "ADDRESS_INVALID", /^--dns: server is not/],
    [{ extraHosts: ["db:server"] }, "ADDRESS_INVALID", /^--add-host: server is not/],
    [{ extraHosts: ["192.0.2.7"] }, "HOST_INVALID", /write it as NAME:ADDRESS$/],
    [{ extraHosts: [":192.0.2.7"] }, "HOST_INVALID", /NAME:ADDRESS$/],
    [{ extraHosts: ["a\nb:192.0.2.7"] }, "HOST_INVALID", /NAME:ADDRESS$/],
  ];
  for (const [fields, code, message] of cases) {
    const [foundCode, foundMessage] = refusalOf(() => define(fields));
    t.equal(foundCode, code, JSON.stringify(fields));
    t.match(foundMessage.replaceAll("\n", " "), message, JSON.stringify(fields));
  }
  t.end();
});

t.test("what would be lines of its own in a file is not a request", (t) => {
  const cases = [
    { dnsSearch: ["example.org\nnameserver 192.0.2.66"] },
    { dnsSearch: ["a b"] },
    { dnsOptions: ["ndots:1\nnameserver 192.0.2.66"] },
    { dnsOptions: ["a b"] },
    { hostname: "web\n192.0.2.66 bank" },
    { name: "../etc" },
    { name: "a\n" },
    { aliases: ["a\nb"] },
  ];
  for (const fields of cases)
    t.notOk(createSandboxRequest.safeParse({ name: "a", ...fields }).success, JSON.stringify(fields));
  t.ok(createSandboxRequest.safeParse({ name: "a", dnsSearch: ["."], dnsOptions: ["ndots:2", "rotate"] }).success);
  t.end();
});
