import t from "tap";
import { Inventory } from "../inventory/inventory.js";
import { container } from "../inventory/testing/containers.js";
import { portsIn, WantedPorts } from "./wanted-ports.js";

t.test(
  "what Docker is to publish within the span is told, as soon as a container is known and until it is not",
  (t) => {
    const inventory = new Inventory();
    const told: number[][] = [];
    new WantedPorts(inventory, { first: 2000, last: 2099 }, (ports) => told.push([...ports].sort()));
    const put = (id: string, wantedUdp: { first: number; last: number }[], running = false) =>
      inventory.source("docker").putContainer(container(id, { running, wantedUdp }));
    put("other", [
      { first: 53, last: 53 },
      { first: 2100, last: 2200 },
    ]);
    t.same(told, [], "elsewhere");
    put("web", [
      { first: 2005, last: 2005 },
      { first: 2098, last: 3000 },
    ]);
    put(
      "web",
      [
        { first: 2005, last: 2005 },
        { first: 2098, last: 3000 },
      ],
      true,
    );
    put("dns", [{ first: 2005, last: 2006 }]);
    inventory.source("docker").removeContainer("web");
    inventory.source("docker").removeContainer("dns");
    t.same(told, [[2005, 2098, 2099], [2005, 2006, 2098, 2099], [2005, 2006], []]);
    t.end();
  },
);

t.test("ranges overlap or not", (t) => {
  const span = { first: 10, last: 12 };
  t.same(
    [
      { first: 1, last: 9 },
      { first: 1, last: 10 },
      { first: 11, last: 11 },
      { first: 12, last: 99 },
      { first: 13, last: 14 },
      { first: 5, last: 4 },
    ].map((range) => portsIn(range, span)),
    [[], [10], [11], [12], [], []],
  );
  t.end();
});
