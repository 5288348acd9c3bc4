import t from "tap";
import { Inventory } from "../inventory/inventory.js";
import { container, endpoint, network } from "../inventory/testing/containers.js";
import { TableMirror } from "./table-mirror.js";
import { TableRecords } from "./table-records.js";

function made() {
  const [inventory, mirror, sent] = [new Inventory(), new TableMirror(), [] as string[]];
  mirror.connect((message) =>
    sent.push(
      `${message.kind} ${"endpoint" in message ? message.endpoint.network : "id" in message ? message.id : ""}`.trim(),
    ),
  );
  mirror.tell("docker", () => undefined);
  for (const id of ["front", "back"]) inventory.source("docker").putNetwork(network(id));
  const records = new TableRecords(inventory, mirror);
  const review = (id: string) => records.reviewContainer(id, inventory.containers.get(id), 600);
  return { inventory, records, sent, review, take: () => sent.splice(0) };
}

t.test("a container's endpoints come and go with its networks, and only what is new is told", (t) => {
  const { inventory, review, take } = made();
  inventory
    .source("docker")
    .putContainer(container("web", { endpoints: [endpoint("front", "10.0.0.2"), endpoint("back", "10.1.0.2")] }));
  t.same(review("web"), []);
  t.same(take().sort(), ["endpoint back", "endpoint front"]);
  review("web");
  t.same(take(), []);
  inventory.source("docker").putContainer(container("web", { endpoints: [endpoint("front", "10.0.0.2")] }));
  review("web");
  t.same(take(), ["endpoint-gone"]);
  inventory.source("docker").removeContainer("web");
  review("web");
  t.same(take(), ["endpoint-gone"]);
  review("web");
  t.same(take(), []);
  t.end();
});

t.test("networks of Docker's own have no names, and one that is gone is told once", (t) => {
  const { inventory, records, take } = made();
  inventory.source("docker").putNetwork(network("bridge", { predefined: true }));
  for (const id of ["front", "bridge", "nowhere"]) records.reviewNetwork(id);
  t.same(take(), ["network"]);
  inventory.source("docker").removeNetwork("front");
  records.reviewNetwork("front");
  records.reviewNetwork("front");
  t.same(take(), ["network-gone front"]);
  t.end();
});

t.test("networks on which a container comes to have too many names, or has no more, are to be reviewed", (t) => {
  const { inventory, review } = made();
  const endpoints = [endpoint("front", "10.0.0.2"), endpoint("back", "10.1.0.2")];
  const excess = { names: true } as never;
  inventory.source("docker").putContainer(container("web", { endpoints, excess }));
  t.same(review("web"), ["front", "back"]);
  t.same(review("web"), []);
  inventory.source("docker").putContainer(container("web", { endpoints: endpoints.slice(0, 1), excess }));
  t.same(review("web"), ["back"]);
  inventory.source("docker").removeContainer("web");
  t.same(review("web"), ["front"]);
  t.end();
});
