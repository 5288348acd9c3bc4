import t from "tap";
import { Inventory } from "../inventory/inventory.js";
import { container, endpoint, network } from "../inventory/testing/containers.js";
import { forwardsOf, pathOf } from "./kernel-path.js";
import { idOf, type Entry } from "./entry.js";
import type { EndpointTarget, PublishedPort } from "./published-port.js";
import { wayOf } from "./way.js";

const inventory = new Inventory();
inventory.source("docker").putNetwork(network("n1"));
inventory.source("docker").putContainer(container("web", { endpoints: [endpoint("n1", "10.9.0.9")] }));

const port = (ip: string, to?: Omit<EndpointTarget, "id">, given: Partial<PublishedPort> = {}): PublishedPort => ({
  container: "web",
  transport: "tcp",
  ip,
  hostPort: 8080,
  containerPort: 80,
  options: {},
  source: to ? "driver" : "command",
  ...(to && { endpoint: { id: "e1", ...to } }),
  ...given,
});
const entry = (given: PublishedPort): Entry => ({ port: given, failure: undefined, ...wayOf(inventory, given, true) });
const targetOf = (ip: string, to: Omit<EndpointTarget, "id">) => wayOf(inventory, port(ip, to), true).target?.ip;

t.test("a port of an endpoint leads to the endpoint's address, wherever else its container is", (t) => {
  const both = { ipv4: "10.1.0.2", ipv6: "fd01::2" };
  t.equal(targetOf("0.0.0.0", both), "10.1.0.2");
  t.equal(targetOf("::", both), "fd01::2");
  t.equal(targetOf("::", { ipv4: "10.1.0.2" }), "10.1.0.2", "from IPv6 to IPv4, where there is no other");
  t.equal(targetOf("0.0.0.0", { ipv6: "fd01::2" }), "fd01::2");
  t.same(wayOf(inventory, port("0.0.0.0", {}), true), { target: undefined, refusal: undefined });
  t.same(wayOf(inventory, port("0.0.0.0", both, { container: "e1" }), true).target, { ip: "10.1.0.2", port: 80 });
  t.equal(wayOf(inventory, port("0.0.0.0"), true).target?.ip, "10.9.0.9", "others go by the container");
  t.end();
});

t.test("the kernel forwards to endpoints what it can", (t) => {
  const path = (ip: string, to: Omit<EndpointTarget, "id">, given: Partial<PublishedPort> = {}) =>
    pathOf(inventory, entry(port(ip, to, given)), true);
  const ipv4 = { ipv4: "10.1.0.2" };
  t.equal(path("0.0.0.0", ipv4), "kernel");
  t.equal(path("192.0.2.1", ipv4), "kernel");
  t.equal(path("::", { ipv6: "fd01::2" }), "kernel");
  t.equal(path("::", ipv4), "proxy", "not from one family to the other");
  t.equal(path("127.0.0.1", ipv4), "proxy");
  t.equal(path("::1", { ipv6: "fd01::2" }), "proxy");
  t.equal(path("0.0.0.0", {}), "proxy", "it leads nowhere");
  t.equal(path("0.0.0.0", ipv4, { options: { maxConnections: 5 } }), "proxy");
  t.equal(path("0.0.0.0", ipv4, { options: { path: "proxy" } }), "proxy");
  t.equal(pathOf(inventory, entry(port("0.0.0.0", ipv4)), false), "proxy", "where the firewall is left alone");
  t.equal(pathOf(inventory, { ...entry(port("0.0.0.0", ipv4)), failure: "taken" }, true), "proxy");
  t.equal(pathOf(inventory, entry(port("0.0.0.0")), true), "proxy", "nor to Docker's own, unasked");
  t.end();
});

t.test("what the kernel is told", (t) => {
  const entries = [
    port("0.0.0.0", { ipv4: "10.1.0.2" }),
    port("::", { ipv4: "10.1.0.2" }),
    port("192.0.2.1", { ipv4: "10.1.0.2" }, { hostPort: 8081, options: { allowFrom: ["10.0.0.0/8", "192.0.2.7"] } }),
  ].map(entry);
  const forwards = forwardsOf(inventory, new Map(entries.map((each) => [idOf(each.port), each])), true);
  const to = { ip: "10.1.0.2", port: 80 };
  t.same(Object.fromEntries(forwards), {
    "tcp 0.0.0.0 8080": { owner: "web", transport: "tcp", ip: undefined, port: 8080, to },
    "tcp 192.0.2.1 8081": {
      owner: "web",
      transport: "tcp",
      ip: "192.0.2.1",
      port: 8081,
      to,
      sources: ["10.0.0.0/8", "192.0.2.7/32"],
    },
  });
  t.end();
});
