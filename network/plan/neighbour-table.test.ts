import fc from "fast-check";
import t from "tap";
import type { NeighbourChange, WantedNeighbour } from "../wanted.js";
import { entrySteps, NeighbourTable, type EntryStep } from "./neighbour-table.js";

const of = (number: number, host = "192.0.2.2", ip = `10.1.0.${number}`): WantedNeighbour => ({
  ip,
  mac: `02:42:0a:01:00:${number}`,
  host,
});
const six = of(11, "192.0.2.2", "fd00:1::11");

function tableOf(...put: readonly WantedNeighbour[]): NeighbourTable {
  const table = new NeighbourTable();
  table.change({ put, removed: [] });
  return table;
}

const inWords = (steps: readonly EntryStep[]) => steps.map((step) => Object.values(step).join(" "));
const mac = "02:42:0a:01:00:11";

t.test("only what changes is written", (t) => {
  const table = new NeighbourTable();
  const change = (change: Partial<NeighbourChange>) => inWords(table.change({ put: [], removed: [], ...change }));
  const first = [`put-forwarding ${mac} 192.0.2.2`, `put-neighbour 10.1.0.11 ${mac}`];
  t.same(change({ put: [of(11)] }), first);
  t.same(change({ put: [of(11)] }), []);
  t.same(change({ put: [six] }), [`put-neighbour fd00:1::11 ${mac}`]);
  t.same(change({ put: [of(11, "192.0.2.3"), { ...six, host: "192.0.2.3" }] }), [`put-forwarding ${mac} 192.0.2.3`]);
  t.same(change({ removed: ["10.1.0.11"] }), ["delete-neighbour 10.1.0.11"], "its other address needs it");
  t.same(change({ removed: ["fd00:1::11", "10.1.0.99"] }), [
    "delete-neighbour fd00:1::11",
    `delete-forwarding ${mac} bridge`,
    `delete-forwarding ${mac} link`,
  ]);
  t.same(change({ put: [of(11)] }), first);
  t.same(change({ removed: ["10.1.0.11"], put: [of(11)] }), [], "what is removed and put is there");
  const other = "02:42:0a:01:00:12";
  t.same(change({ put: [{ ...of(12), ip: "10.1.0.11" }] }), [
    `delete-forwarding ${mac} bridge`,
    `delete-forwarding ${mac} link`,
    `put-forwarding ${other} 192.0.2.2`,
    `put-neighbour 10.1.0.11 ${other}`,
  ]);
  t.same(change({ put: [], isAll: true }).length, 3);
  t.same(table.entries, { hosts: new Map(), ports: new Set(), macs: new Map() });
  t.end();
});

t.test("where what is said of two addresses differs, the endpoint is where it was last said to be", (t) => {
  const table = tableOf(of(11), six);
  table.change({ put: [{ ...six, host: "192.0.2.3" }], removed: [] });
  t.equal(table.entries.hosts.get(mac), "192.0.2.3");
  table.change({ put: [], removed: [six.ip] });
  t.equal(table.entries.hosts.get(mac), "192.0.2.3");
  t.end();
});

t.test("what the kernel has amiss is mended", (t) => {
  const { entries } = tableOf(of(11));
  const seen = (change: Partial<typeof entries>) => inWords(entrySteps(entries, { ...entries, ...change }));
  const put = [`put-forwarding ${mac} 192.0.2.2`];
  t.same(seen({}), []);
  t.same(seen({ hosts: new Map() }), put);
  t.same(seen({ hosts: new Map([[mac, undefined]]) }), put);
  t.same(seen({ hosts: new Map([[mac, "192.0.2.9"]]) }), put);
  t.same(seen({ ports: new Set() }), put);
  t.same(seen({ ports: new Set([mac, "00:00:00:00:00:01"]) }), ["delete-forwarding 00:00:00:00:00:01 bridge"]);
  t.same(seen({ macs: new Map([["10.1.0.11", "00:00:00:00:00:01"]]) }), [`put-neighbour 10.1.0.11 ${mac}`]);
  t.end();
});

t.test("whatever is said in turn, the kernel ends with what was said, and nothing else", (t) => {
  const neighbour = fc.record({
    ip: fc.constantFrom("10.1.0.2", "10.1.0.3", "fd00:1::2"),
    mac: fc.constantFrom("02:00:00:00:00:01", "02:00:00:00:00:02"),
    host: fc.constantFrom("192.0.2.2", "192.0.2.3"),
  });
  const change = fc.record(
    {
      put: fc.array(neighbour, { maxLength: 3 }),
      removed: fc.array(fc.constantFrom("10.1.0.2", "10.1.0.3", "fd00:1::2"), { maxLength: 2 }),
      isAll: fc.constant(true as const),
    },
    { requiredKeys: ["put", "removed"] },
  );
  fc.assert(
    fc.property(fc.array(change, { maxLength: 6 }), (changes) => {
      const table = new NeighbourTable();
      const kernel = { hosts: new Map<string, string>(), ports: new Set<string>(), macs: new Map<string, string>() };
      const said = new Map<string, string>();
      for (const { put, removed, isAll } of changes) {
        for (const step of table.change({ put, removed, ...(isAll && { isAll }) })) carryOut(kernel, step);
        if (isAll) said.clear();
        for (const ip of removed) said.delete(ip);
        for (const { ip, mac } of put) said.set(ip, mac);
      }
      t.same(kernel, table.entries);
      t.same(kernel.macs, said);
      t.same(kernel.ports, new Set(said.values()));
      return entrySteps(table.entries, kernel).length === 0;
    }),
  );
  t.end();
});

interface Kernel {
  readonly hosts: Map<string, string>;
  readonly ports: Set<string>;
  readonly macs: Map<string, string>;
}

function carryOut({ hosts, ports, macs }: Kernel, step: EntryStep): void {
  switch (step.kind) {
    case "put-forwarding":
      hosts.set(step.mac, step.host);
      return void ports.add(step.mac);
    case "delete-forwarding":
      return void (step.table === "link" ? hosts : ports).delete(step.mac);
    case "put-neighbour":
      return void macs.set(step.ip, step.mac);
    case "delete-neighbour":
      return void macs.delete(step.ip);
  }
}
