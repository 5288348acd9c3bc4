import t from "tap";
import { PortTaken } from "./bind.js";
import { Inventory } from "../inventory/inventory.js";
import { container } from "../inventory/testing/containers.js";
import { openListener } from "../../linux/listener.js";
import { closeDescriptor, localAddress } from "../../linux/socket.js";
import { TakenPorts, type OwnPort } from "./taken-ports.js";

const ip = "127.0.0.1";
const minutes = 60_000;

t.test("who has ports is found out for many at once, told for five minutes, and then looked up again", async (t) => {
  const time = { now: 0 };
  const own: OwnPort[] = [];
  const inventory = new Inventory();
  const ports = new TakenPorts(
    inventory,
    () => own,
    () => time.now,
  );
  const squatters = Array.from({ length: 100 }, (_, index) =>
    openListener(index % 2 === 0 ? "tcp" : "udp", { ip: index % 3 === 0 ? ip : "0.0.0.0", port: 0 }),
  );
  const taken = squatters.map(
    (fd, index) => new PortTaken(index % 2 === 0 ? "tcp" : "udp", { ip, port: localAddress(fd).port }),
  );
  const reasons = async (lookAgain = false) => (await ports.explain(taken, lookAgain)).map(({ message }) => message);
  const held = new RegExp(
    `^(tcp|udp) port 127\\.0\\.0\\.1:\\d+ is taken \\(held by \\S+, pid ${process.pid}\\); choose another$`,
  );
  for (const reason of await reasons()) t.match(reason, held);
  squatters.forEach(closeDescriptor);

  time.now = 4 * minutes;
  for (const reason of await reasons()) t.match(reason, held, "it is not looked up again");
  ports.forget(taken[0]!);
  t.match(
    (await reasons()).slice(0, 2),
    { length: 2, 0: /cannot be seen from here/, 1: held },
    "but one that was free meanwhile",
  );
  time.now = 6 * minutes;
  for (const reason of (await reasons()).slice(1)) t.match(reason, /cannot be seen from here/);

  const port = taken[0]!.address.port;
  own.push({ container: "web", transport: "tcp", ip: "0.0.0.0", hostPort: port, containerPort: 80 });
  t.match((await reasons(true))[0], `tcp port ${port} is taken: pontoon publishes it for web (80/tcp)`);
  own.pop();
  inventory.source("docker").putContainer(
    container("db", {
      published: [
        { transport: "tcp", ip: "::", hostPort: port, containerPort: 1 },
        { transport: "tcp", ip, hostPort: port, containerPort: 90 },
      ],
    }),
  );
  t.match((await reasons(true))[0], `tcp port ${port} is taken: Docker publishes it for db (90/tcp)`);
});
