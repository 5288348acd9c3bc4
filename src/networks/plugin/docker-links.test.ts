import t from "tap";
import { container as containerOf, endpoint } from "../../inventory/testing/containers.js";
import type { Container, Endpoint } from "../../inventory/types.js";
import { dockerLinkAccepts } from "./docker-links.js";

const container = (name: string, endpoints: Endpoint[], ports: Container["ports"] = []): Container =>
  containerOf(name.padEnd(64, "0"), { name, endpoints, ports });
const acceptsOf = (...containers: Container[]) =>
  dockerLinkAccepts({ containers: new Map(containers.map((each) => [each.id, each])) }, (id) => id === "quiet").map(
    ({ owner, from, to, transport, port }) => `${owner}: ${from} ${to} ${port}/${transport}`,
  );

const ports: Container["ports"] = [
  [80, "tcp"],
  [53, "udp"],
  [9, "sctp"],
];

t.test("a link opens what its target exposes, by every name that Docker has for it", (t) => {
  const db = container("db", [endpoint("quiet", "10.1.0.2", { ipv6: "fd01::2", aliases: ["store"] })], ports);
  for (const target of ["db", "store", db.id.slice(0, 12)]) {
    const web = container("web", [endpoint("quiet", "10.1.0.3", { links: [[target, "alias"]] })]);
    t.same(
      acceptsOf(web, db),
      ["container web: 10.1.0.3 10.1.0.2 80/tcp", "container web: 10.1.0.3 10.1.0.2 53/udp"],
      target,
    );
  }
  const both = container("web", [endpoint("quiet", "10.1.0.3", { ipv6: "fd01::3", links: [["db", "db"]] })]);
  t.match(acceptsOf(both, db).join("\n"), /fd01::3 fd01::2 80\/tcp/, "in both families");
  t.end();
});

t.test("nothing else is opened", (t) => {
  const db = container("db", [endpoint("quiet", "10.1.0.2"), endpoint("open", "10.2.0.2")], ports);
  const linked = (network: string, links: Endpoint["links"]) =>
    container("web", [endpoint(network, "10.1.0.3", { links })]);
  t.same(acceptsOf(linked("quiet", []), db), []);
  t.same(acceptsOf(linked("quiet", [["d", "db"]]), db), [], "a beginning of a name is no name");
  t.same(acceptsOf(linked("open", [["db", "db"]]), db), [], "where containers reach one another");
  const down = container("db", [endpoint("quiet", undefined)], ports);
  t.same(acceptsOf(linked("quiet", [["db", "db"]]), down), [], "one that is down has no address");
  const elsewhere = container("db", [endpoint("open", "10.2.0.2")], ports);
  t.same(acceptsOf(linked("quiet", [["db", "db"]]), elsewhere), []);
  t.end();
});
