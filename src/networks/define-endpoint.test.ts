import t from "tap";
import { defineEndpoint } from "./define-endpoint.js";
import type { EndpointRecord } from "./records.js";
import { endpointRecord, networkRecord, refusalOf, registryOf, requestFor, sandboxRecord } from "./testing/records.js";

const network = networkRecord(1);
const sandbox = sandboxRecord("a");
const id = "abcdef0123456789".repeat(4);

function define(fields: object, links: readonly string[] = [], given: object = { ipv4: "10.1.0.2" }): EndpointRecord {
  const endpoints = links.map((ifname, index) => endpointRecord(sandbox, networkRecord(index + 2), { ifname }));
  const registry = registryOf({ sandboxes: [sandbox], endpoints });
  return defineEndpoint(requestFor.endpoint(fields), registry, { network, sandbox, given, id });
}

t.test("an endpoint has an address, a MAC that follows from it, and the first name that is free", (t) => {
  t.same(define({}), {
    id,
    network: network.id,
    sandbox: sandbox.id,
    hostLink: "ptvabcdef012345",
    ifname: "eth0",
    mac: "02:42:0a:01:00:02",
    ipv4: "10.1.0.2",
    aliases: [],
    links: [],
    gatewayPriority: 0,
  });
  t.equal(define({}).hostLink.length, 15);
  t.equal(define({}, ["eth0", "eth2"]).ifname, "eth1");
  t.match(define({}, [], { ipv6: "fd00:1::2" }), { mac: "02:00:00:00:00:02", ipv6: "fd00:1::2" });
  t.end();
});

t.test("what was asked for counts", (t) => {
  const fields = {
    ifname: "lan0",
    mac: "02:AA:00:00:00:01",
    aliases: ["www"],
    links: ["db", "cache:redis"],
    gatewayPriority: -5,
  };
  t.match(define(fields), { ifname: "lan0", mac: "02:aa:00:00:00:01", gatewayPriority: -5 });
  t.same(define(fields).aliases, ["www"]);
  t.same(define(fields).links, [
    ["db", "db"],
    ["cache", "redis"],
  ]);
  t.end();
});

t.test("what cannot be is refused with a code and one sentence", (t) => {
  const cases: [fields: object, code: string, message: RegExp][] = [
    ...["", "sixteen-letters-", "a/b", "a:b", "a b", "a%d", ".", "..", "lo", "all", "default"].map(
      (ifname): [object, string, RegExp] => [{ ifname }, "LINK_NAME_INVALID", /cannot be a link's name/],
    ),
    [{ ifname: "eth7" }, "LINK_NAME_TAKEN", /^sandbox a has a link eth7 already; choose another name$/],
    ...["", "02:42:0a:01:00", "02-42-0a-01-00-02", "01:00:5e:00:00:01", "00:00:00:00:00:00", "02:42:0a:01:00:0g"].map(
      (mac): [object, string, RegExp] => [{ mac }, "MAC_INVALID", /write it as 02:42:0a:59:00:02$/],
    ),
    ...["db:", ":db", "a:b:c", "a b", "-a", "x".repeat(64)].map((link): [object, string, RegExp] => [
      { links: [link] },
      "LINK_INVALID",
      /write it as SANDBOX:ALIAS$/,
    ]),
  ];
  for (const [fields, code, message] of cases) {
    const [foundCode, foundMessage] = refusalOf(() => define(fields, ["eth7"]));
    t.equal(foundCode, code, JSON.stringify(fields));
    t.match(foundMessage, message, JSON.stringify(fields));
  }
  t.end();
});
