import t from "tap";
import { linkAccepts } from "./link-accepts.js";
import { endpointRecord, networkRecord, registryOf, sandboxRecord } from "./testing/records.js";

t.test("exposed ports of linked sandboxes are reached where others are not", (t) => {
  const client = sandboxRecord("client");
  const db = sandboxRecord("db", {
    exposed: [
      [5432, "tcp"],
      [53, "udp"],
      [9, "sctp"],
    ],
  });
  const other = sandboxRecord("other", { exposed: [[80, "tcp"]] });
  for (const icc of [true, false]) {
    const network = networkRecord(1, { icc });
    const there = endpointRecord(db, network, { ipv4: "10.0.1.3" });
    const registry = registryOf({
      networks: [network],
      sandboxes: [client, db, other],
      endpoints: [
        endpointRecord(client, network, {
          ipv4: "10.0.1.2",
          links: [
            ["db", "database"],
            ["gone", "gone"],
          ],
        }),
        there,
        endpointRecord(other, network, { ipv4: "10.0.1.4" }),
      ],
    });
    const accept = { owner: "sandbox client", from: "10.0.1.2", to: "10.0.1.3" };
    t.same(
      linkAccepts(registry),
      icc
        ? []
        : [
            { ...accept, transport: "tcp", port: 5432 },
            { ...accept, transport: "udp", port: 53 },
          ],
    );
  }
  t.end();
});
