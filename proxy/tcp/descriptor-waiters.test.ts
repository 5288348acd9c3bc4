import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import t from "tap";
import { TestLoop } from "../../linux/testing/loop.js";
import { DescriptorWaiters } from "./descriptor-waiters.js";
import type { LimitedReport } from "../testing/limited.js";
import { TestClient, TestServer, until } from "../testing/proxy.js";

const program = fileURLToPath(new URL("../testing/limited.js", import.meta.url));

t.test("who waits is called once, when descriptors were freed or some time has passed", async (t) => {
  const loop = new TestLoop();
  const descriptorWaiters = new DescriptorWaiters(loop.poller, loop.timers);
  const called: string[] = [];
  const [one, other] = [() => void called.push("one"), () => void called.push("other")];
  descriptorWaiters.freed();
  descriptorWaiters.wait(one);
  descriptorWaiters.wait(other);
  descriptorWaiters.freed();
  descriptorWaiters.freed();
  t.same(called, [], "not from inside the call");
  await loop.turn();
  t.same(called, ["one", "other"]);
  descriptorWaiters.wait(one);
  descriptorWaiters.wait(other);
  descriptorWaiters.forget(other);
  loop.pass(200);
  t.same(called, ["one", "other", "one"]);
  t.equal(descriptorWaiters.waiting, 0);
  loop.poller.close();
});

t.test("with 64 descriptors and 200 clients it waits without spinning, and serves them as others leave", async (t) => {
  const server = await TestServer.start(t, (socket) => void socket.pipe(socket));
  const child = spawn(
    "/bin/sh",
    ["-c", `ulimit -n 64; exec "$0" "$@"`, process.execPath, program, String(server.address.port)],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  t.teardown(async () => {
    child.kill("SIGKILL");
    await once(child, "exit");
  });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  await until("it listens", () => lines.length > 0);
  const ports = JSON.parse(lines.shift()!) as number[];
  const report = async () => {
    child.stdin.write("\n");
    await until("a report", () => lines.length > 0);
    return JSON.parse(lines.shift()!) as LimitedReport;
  };

  const clients = Array.from({ length: 200 }, (_, index) =>
    TestClient.to(t, { ip: "127.0.0.1", port: ports[index % 2]! }),
  );
  for (const client of clients) client.socket.write("x");
  let full = await report();
  for (; full.waiting === 0; full = await report());
  await until(
    "as many as there are descriptors for are served",
    () => clients.filter(({ text }) => text === "x").length >= full.connections,
  );
  t.ok(full.connections > 5 && full.connections < 30, `${full.connections} connections`);

  // A second is watched in which nothing happens: the loop looks around some ten times for each who waits.
  const before = await report();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const after = await report();
  t.ok(
    after.rounds - before.rounds < (after.time - before.time) / 2,
    `${after.rounds - before.rounds} rounds in ${after.time - before.time} ms`,
  );
  t.equal(clients.filter(({ error }) => error !== undefined).length, 0, "nobody was turned away");

  while (clients.some(({ text }) => text !== "x")) {
    const served = clients.filter(({ text, socket }) => text === "x" && !socket.writableEnded);
    for (const client of served) client.socket.end();
    await until(
      "others get their turn",
      () =>
        clients.filter(({ text, socket }) => text === "x" && !socket.writableEnded).length > 0 ||
        clients.every(({ text }) => text === "x"),
    );
  }
  t.equal(clients.filter(({ error }) => error !== undefined).length, 0);
  for (const client of clients) if (!client.socket.writableEnded) client.socket.end();
  let last = await report();
  for (; last.connections > 0; last = await report());
  t.equal(last.accepted, 200);
});
