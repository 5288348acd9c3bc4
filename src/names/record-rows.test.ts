import t from "tap";
import { Inventory } from "../inventory/inventory.js";
import {
  container as anyContainer,
  endpoint as anyEndpoint,
  network as anyNetwork,
} from "../inventory/testing/containers.js";
import type { Container, Endpoint, Network } from "../inventory/types.js";
import { recordRows } from "./record-rows.js";

const network = (id: string, name: string, predefined = false): Network => anyNetwork(id, { name, predefined });
const endpoint = (networkId: string, ipv4: string | undefined, aliases: string[] = []): Endpoint =>
  anyEndpoint(networkId, ipv4, { aliases });
const container = (name: string, endpoints: Endpoint[], labels = {}): Container =>
  anyContainer(name.repeat(64).slice(0, 64), { name, endpoints, labels });

t.test("every name that is answered is listed, by network and name", (t) => {
  const inventory = new Inventory();
  for (const entry of [network("n1", "front"), network("n2", "back"), network("n0", "bridge", true)])
    inventory.source("docker").putNetwork(entry);
  inventory
    .source("docker")
    .putContainer(
      container("w", [endpoint("n1", "10.0.0.2", ["web"]), endpoint("n0", "172.17.0.2"), endpoint("n2", undefined)]),
    );
  inventory
    .source("docker")
    .putContainer(
      container("a", [endpoint("n1", "10.0.0.3", ["web"]), endpoint("n2", "10.2.0.3")], { "pontoon.dns.ttl": "30" }),
    );
  const rows = recordRows(inventory, 5).map(
    ({ network, name, container, ipv4, ttl }) => `${network} ${name} ${container} ${ipv4} ${ttl}`,
  );
  t.same(rows, [
    "back a a 10.2.0.3 30",
    "back aaaaaaaaaaaa a 10.2.0.3 30",
    "front a a 10.0.0.3 30",
    "front aaaaaaaaaaaa a 10.0.0.3 30",
    "front w w 10.0.0.2 5",
    "front web a 10.0.0.3 30",
    "front web w 10.0.0.2 5",
    "front wwwwwwwwwwww w 10.0.0.2 5",
  ]);
  t.end();
});
