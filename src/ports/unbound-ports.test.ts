import { pino } from "pino";
import t from "tap";
import { Inventory } from "../inventory/inventory.js";
import type { DockerPort } from "../inventory/types.js";
import { container } from "../inventory/testing/containers.js";
import { UnboundPorts } from "./unbound-ports.js";

const port = (hostPort: number): DockerPort => ({ transport: "tcp", ip: "0.0.0.0", hostPort, containerPort: 80 });
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** @param holder of every port */
function bench(holder: string) {
  const inventory = new Inventory();
  const said: { container: string; reason: string }[] = [];
  const log = pino({ base: null }, { write: (line: string) => said.push(JSON.parse(line) as (typeof said)[number]) });
  const looks: number[][] = [];
  const pauses: (() => void)[] = [];
  const ports = new UnboundPorts(
    inventory,
    log,
    (asked) => (looks.push(asked.map(({ hostPort }) => hostPort)), Promise.resolve(asked.map(() => holder))),
    () => new Promise<void>((resolve) => pauses.push(resolve)),
  );
  const fails = (id: string, hostPort: number) =>
    inventory.source("docker").putContainer(container(id, { running: false, unboundPort: port(hostPort) }));
  const creates = (id: string) => inventory.source("docker").putContainer(container(id, { running: false }));
  return { inventory, ports, said, looks, pauses, fails, creates };
}

t.test("a start that fails is told once, with who holds the port", async (t) => {
  const { ports, said, pauses, fails, creates, inventory } = bench(" (held by nginx, pid 7)");
  creates("web");
  fails("web", 80);
  inventory
    .source("docker")
    .putContainer(container("web", { running: false, unboundPort: port(80), hostname: "other" }));
  await turn();
  t.match(said, {
    length: 1,
    0: {
      container: "web",
      reason: "tcp port 0.0.0.0:80 is taken (held by nginx, pid 7); free it, and start the container again",
      msg: "dockerd could not publish a port",
    },
  });
  t.equal(said.length, 1);
  t.same(
    [...(await ports.reasons())],
    [["web", "tcp port 0.0.0.0:80 is taken (held by nginx, pid 7); free it, and start the container again"]],
  );
  inventory.source("docker").putContainer(container("web"));
  t.same([...(await ports.reasons())], [], "it runs");
  fails("web", 80);
  pauses.shift()!();
  await turn();
  t.equal(said.length, 2, "another start has failed");
  inventory.source("docker").removeContainer("web");
  t.same([...(await ports.reasons())], []);
});

t.test("what had failed before is shown, not told", async (t) => {
  const { ports, said, fails } = bench("");
  fails("old", 80);
  await turn();
  t.same(said, []);
  t.same(
    [...(await ports.reasons()).values()],
    ["tcp port 0.0.0.0:80 was taken when dockerd tried to start the container; start it again"],
  );
});

t.test("however many fail, their holders are looked for together, and not all the time", async (t) => {
  const { ports, said, looks, pauses, fails, creates } = bench(" (held)");
  for (let n = 1; n <= 100; n++) creates(`c${n}`);
  for (let n = 1; n <= 100; n++) fails(`c${n}`, n);
  await turn();
  t.equal(looks.length, 1, "the first look");
  pauses.shift()!();
  await turn();
  t.same(
    looks.map(({ length }) => length),
    [1, 99],
    "one look for all that failed meanwhile",
  );
  t.equal(said.length, 100);
  t.equal((await ports.reasons()).size, 100);
  t.equal(looks.length, 3);
});
