import { pino } from "pino";
import t from "tap";
import { Inventory } from "../inventory/inventory.js";
import type { DockerPort } from "../inventory/published.js";
import { container } from "../inventory/test-containers.js";
import { UnboundPorts } from "./unbound-ports.js";

const port = (hostPort: number): DockerPort => ({ transport: "tcp", ip: "0.0.0.0", hostPort, containerPort: 80 });

function bench(holder: (port: DockerPort) => string) {
  const inventory = new Inventory();
  const said: unknown[] = [];
  const log = pino({ base: null }, { write: (line: string) => said.push(JSON.parse(line)) });
  const time = { now: 0 };
  const looked: number[] = [];
  const ports = new UnboundPorts(inventory, log, (each) => (looked.push(each.hostPort), holder(each)), () => time.now);
  const fails = (id: string, hostPort: number) => inventory.putContainer(container(id, { running: false, unboundPort: port(hostPort) }));
  const creates = (id: string) => inventory.putContainer(container(id, { running: false }));
  return { inventory, ports, said, looked, time, fails, creates };
}

t.test("a start that fails is told once, with who holds the port", (t) => {
  const { ports, said, fails, creates, inventory } = bench(() => " (held by nginx, pid 7)");
  creates("web");
  fails("web", 80);
  inventory.putContainer(container("web", { running: false, unboundPort: port(80), hostname: "other" }));
  t.match(said, [{ container: "web", reason: "tcp port 0.0.0.0:80 is taken (held by nginx, pid 7); free it, and start the container again", msg: "dockerd could not publish a port" }]);
  t.equal(said.length, 1);
  t.same([...ports.reasons()], [["web", "tcp port 0.0.0.0:80 is taken (held by nginx, pid 7); free it, and start the container again"]]);
  inventory.putContainer(container("web"));
  t.same([...ports.reasons()], [], "it runs");
  fails("web", 80);
  t.equal(said.length, 2, "another start has failed");
  inventory.removeContainer("web");
  t.same([...ports.reasons()], []);
  t.end();
});

t.test("what had failed before is shown, not told", (t) => {
  const { ports, said, fails } = bench(() => "");
  fails("old", 80);
  t.same(said, []);
  t.same([...ports.reasons().values()], ["tcp port 0.0.0.0:80 was taken when dockerd tried to start the container; start it again"]);
  t.end();
});

t.test("however many fail, few holders are looked for", (t) => {
  const { ports, said, looked, time, fails, creates } = bench(() => " (held)");
  for (let n = 1; n <= 100; n++) {
    creates(`c${n}`);
    fails(`c${n}`, n);
  }
  t.equal(said.length, 100);
  t.same(looked, [1]);
  time.now += 1000;
  fails("c1", 500);
  t.same(looked, [1, 500]);
  looked.length = 0;
  t.equal(ports.reasons().size, 100);
  t.equal(looked.length, 8);
  t.end();
});
