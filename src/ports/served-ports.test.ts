import t from "tap";
import { readHeld, readToProxy } from "../../proxy/messages.js";
import type { PublishedPort } from "./published-port.js";
import { idOf } from "./entry.js";
import { portOf, publicationOf } from "./served-ports.js";

const web: PublishedPort = {
  container: "web",
  transport: "tcp",
  ip: "0.0.0.0",
  hostPort: 8080,
  containerPort: 80,
  options: {},
  source: "driver",
};
const endpointId = "ab".repeat(32);

t.test("a port is the same for the next daemon that takes it from pontoon-proxy", (t) => {
  for (const port of [
    { ...web, endpoint: { id: endpointId, ipv4: "10.1.0.2" } },
    { ...web, ip: "::", endpoint: { id: endpointId, ipv4: "10.1.0.2", ipv6: "fd01::2" } },
    { ...web, endpoint: { id: endpointId } },
    { ...web, source: "command", byDefault: true, options: { drainMs: 5, maxConnections: 3 } },
    { ...web, source: "label", transport: "udp" },
  ] as const satisfies PublishedPort[]) {
    const target = { ip: "10.1.0.2", port: 80 };
    const publication = publicationOf({ port, failure: undefined, target }, 10_000);
    t.equal(publication.id, idOf(port));
    t.same(publication.target, target);
    const sent = JSON.parse(JSON.stringify({ kind: "open", publication })) as object;
    t.same(readToProxy(sent), sent, "pontoon-proxy understands it");
    const held = readHeld({ ...sent, kind: "held" });
    t.same(held && portOf(held.publication, 10_000), port);
  }
  t.end();
});

t.test("an owner that makes no sense is nobody's port", (t) => {
  const publication = publicationOf({ port: web, failure: undefined, target: undefined }, 0);
  t.equal(portOf({ ...publication, owner: undefined }, 0), undefined);
  const owner = { ...publication.owner!, endpoint: { id: endpointId, ipv4: "not an address" } };
  t.equal(portOf({ ...publication, owner }, 0), undefined);
  t.equal(
    readHeld({ kind: "held", publication: { ...publication, owner: { ...owner, endpoint: { id: 1 } } } }),
    undefined,
  );
  t.end();
});
