import t from "tap";
import { leasedRoutes } from "./endpoint-addresses.js";
import { withLeasedDns } from "./leased-dns.js";
import { LeaseWaits } from "./lease-waits.js";
import type { EndpointRecord } from "./records.js";
import { endpointRecord, networkRecord, registryOf, sandboxRecord } from "./testing/records.js";
import { wantedEndpoints } from "./wanted.js";

const network = networkRecord(1, {
  subnets: [],
  firewall: false,
  lan: {
    child: { kind: "macvlan", mode: "bridge" },
    parent: "eth0",
    hostAddresses: [],
    needsAddress: false,
    dhcp: true,
  },
});
const bridge = networkRecord(2);
const sandbox = sandboxRecord("a");

function leased(changes: Partial<EndpointRecord["lease"] & object> = {}): EndpointRecord {
  const lease = {
    ip: "10.1.0.2",
    prefix: 24,
    router: "10.1.0.1",
    routes: [],
    dns: ["10.1.0.53"],
    search: ["lab.test"],
    server: "10.1.0.1",
    serverMac: "02:00:00:00:00:01",
    obtained: 0,
    renewal: null,
    rebinding: null,
    expiry: null,
    place: "here",
    ...changes,
  };
  return endpointRecord(sandbox, network, { lease, clientId: "ff" });
}

/** The lease counts no more. */
function lost(): EndpointRecord {
  const endpoint = { ...leased() };
  delete endpoint.ipv4;
  return endpoint;
}

const wanted = (...endpoints: EndpointRecord[]) =>
  wantedEndpoints(endpoints, (id) => [network, bridge].find((each) => each.id === id));

t.test("what is lent is what the link has", (t) => {
  t.equal(wanted(leased({ mtu: 1400 }))[0]!.mtu, 1400);
  const [one] = wanted(leased({ mtu: 9000 }));
  t.same(
    [one!.addresses, one!.gateways, one!.mtu, one!.routes],
    [[{ ip: "10.1.0.2", prefix: 24 }], ["10.1.0.1"], 1500, []],
  );
  const [none] = wanted(lost());
  t.same([none!.addresses, none!.gateways, none!.routes], [[], [], []], "what was lent before is not");
  const alone = { ...leased().lease! };
  delete alone.router;
  t.same(wanted({ ...leased(), lease: alone })[0]!.gateways, []);
  t.end();
});

t.test("gateways beyond the subnet are reached over the link", (t) => {
  const far = { destination: { ip: "10.98.0.0", prefix: 16 }, gateway: "10.77.0.1" };
  t.same(leasedRoutes(leased({ router: "10.99.0.1", routes: [far] }), network), [
    { destination: { ip: "10.99.0.1", prefix: 32 } },
    { destination: { ip: "10.77.0.1", prefix: 32 } },
    far,
  ]);
  t.same(leasedRoutes(leased({ routes: [far] }), { ...network, internal: true }), []);
  t.end();
});

t.test("DNS settings of the LAN by which it leaves", (t) => {
  const registry = (...endpoints: EndpointRecord[]) =>
    registryOf({ networks: [network, bridge], sandboxes: [sandbox], endpoints });
  const of = (changes: object, ...endpoints: EndpointRecord[]) =>
    withLeasedDns(registry(...endpoints), { ...sandbox, dns: { ...sandbox.dns, ...changes } }).dns;
  t.same(of({}, leased()), { servers: ["10.1.0.53"], search: ["lab.test"], options: [] });
  t.same(of({ servers: ["1.1.1.1"] }, leased()), { servers: ["1.1.1.1"], search: ["lab.test"], options: [] });
  const other = endpointRecord(sandbox, bridge, { gatewayPriority: 1 });
  t.same(of({}, leased(), other), sandbox.dns);
  t.same(of({}, lost()), sandbox.dns);
  t.end();
});

t.test("who waits is told once", async (t) => {
  const waits = new LeaseWaits();
  const late = () => new Error("late");
  const [one, other] = [waits.wait("a", 60_000, late), waits.wait("a", 60_000, late)];
  waits.end("a");
  await Promise.all([one, other]);
  await t.rejects(waits.wait("a", 1, late), { message: "late" });
  const failing = waits.wait("b", 60_000, late);
  waits.endAll(new Error("over"));
  await t.rejects(failing, { message: "over" });
  waits.end("b");
});
