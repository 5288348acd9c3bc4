import t from "tap";
import { hostsLines, resolvConfLines } from "./sandbox-files.js";
import { endpointRecord, networkRecord, registryOf, sandboxRecord } from "./testing/records.js";

const [one, two] = [networkRecord(1, { ipv6: true }), networkRecord(2)];
const always = 6; // lines

t.test("a hosts file has what was asked for, links, then the sandbox itself", (t) => {
  const db = sandboxRecord("db", { hostname: "db.example.org" });
  const a = sandboxRecord("a", { hostname: "www.example.org", extraHosts: [["printer", "192.0.2.7"]] });
  const links: [string, string][] = [
    ["db", "postgres"],
    ["db", "db"],
    ["nobody", "x"],
  ];
  const registry = registryOf({
    networks: [one, two],
    sandboxes: [a, db],
    endpoints: [
      endpointRecord(a, one, { links }),
      endpointRecord(a, two, { links }),
      endpointRecord(db, one, { ipv4: "10.1.0.3", ipv6: "fd00:1::3" }),
    ],
  });
  t.same(hostsLines(registry, a).slice(always), [
    "192.0.2.7\tprinter",
    "10.1.0.3\tpostgres db.example.org db",
    "fd00:1::3\tpostgres db.example.org db",
    "10.1.0.3\tdb db.example.org",
    "fd00:1::3\tdb db.example.org",
    "10.1.0.2\twww.example.org www",
    "fd00:1::2\twww.example.org www",
    "10.2.0.2\twww.example.org www",
  ]);
  t.same(hostsLines(registry, db)[0], "127.0.0.1\tlocalhost");
  t.same(hostsLines(registryOf({}), sandboxRecord("c")).length, always);
  t.end();
});

t.test("a resolv.conf names pontoon's resolver, and has ndots 0 unless it is told otherwise", (t) => {
  const cases: [search: string[], options: string[], lines: string[]][] = [
    [[], [], ["nameserver 127.0.0.11", "options ndots:0"]],
    [
      ["example.org", "b.example"],
      ["rotate"],
      ["nameserver 127.0.0.11", "search example.org b.example", "options rotate ndots:0"],
    ],
    [["."], ["ndots:2"], ["nameserver 127.0.0.11", "options ndots:2"]],
  ];
  for (const [search, options, lines] of cases)
    t.same(resolvConfLines(sandboxRecord("a", { dns: { servers: ["192.0.2.1"], search, options } })), lines);
  t.end();
});
