import t from "tap";
import { compareJoined, namesOf, type Joined } from "./naming.js";
import { container as anyContainer, endpoint as anyEndpoint } from "./testing/containers.js";
import type { Container, Endpoint } from "./types.js";

const id = "0123456789abcdef".repeat(4);

const endpoint = (given: Partial<Endpoint> = {}): Endpoint => anyEndpoint("n", undefined, given);

const container = (given: Partial<Container>): Container =>
  anyContainer(id, { name: "web1", hostname: "0123456789ab", ...given });

t.test("a container has its name, its aliases, its short id and its hostname, each once", (t) => {
  const cases: [what: string, container: Partial<Container>, aliases: string[], expected: string[]][] = [
    ["as Docker names it", {}, [], ["web1", "0123456789ab"]],
    ["with aliases", {}, ["web", "www"], ["web1", "web", "www", "0123456789ab"]],
    ["with aliases that repeat", {}, ["web1", "web", "web"], ["web1", "web", "0123456789ab"]],
    ["with a hostname of its own", { hostname: "box" }, ["web"], ["web1", "web", "0123456789ab", "box"]],
    ["known in part", { hostname: "" }, [], ["web1", "0123456789ab"]],
  ];
  for (const [what, given, aliases, expected] of cases)
    t.same(namesOf(container(given), endpoint({ aliases })), expected, what);
  t.end();
});

t.test("networks are asked in Docker's order", (t) => {
  const joined = (name: string, given: Partial<Endpoint> = {}, internal = false): Joined => ({
    endpoint: endpoint(given),
    network: { source: "docker", id: name, name, driver: "bridge", internal, predefined: false, shared: false },
  });
  const inOrder = [
    joined("z-prior", { gatewayPriority: 10 }),
    joined("y-dual", { hasGateway: { ipv4: true, ipv6: true } }),
    joined("x-six", { hasGateway: { ipv4: false, ipv6: true } }),
    joined("a"),
    joined("b"),
    joined("a-none", { hasGateway: { ipv4: false, ipv6: false } }),
    joined("A-internal", { hasGateway: { ipv4: true, ipv6: true } }, true),
    joined("last", { gatewayPriority: -1 }),
  ];
  const names = (list: Joined[]) => list.map(({ network }) => network.name);
  t.same(names([...inOrder].reverse().sort(compareJoined)), names(inOrder));
  t.same(names([...inOrder].sort(compareJoined)), names(inOrder));
  t.equal(compareJoined(joined("a"), joined("a")), 0);
  t.end();
});
