import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { setImmediate as nextTurn, setTimeout as pause } from "node:timers/promises";
import { pino } from "pino";
import t, { type Test } from "tap";
import { Inventory } from "../inventory/inventory.js";
import { container as anyContainer, endpoint as on } from "../inventory/testing/containers.js";
import type { Container } from "../inventory/types.js";
import { HostsKeeper } from "./hosts-keeper.js";

const head = "127.0.0.1\tlocalhost\n";
const line = (address: string, names: string) => `${address}\t${names}\n`;

/** A keeper over a folder that looks like Docker's, with a parent "p" linked to "child" as "db". */
function bench(t: Test) {
  const inventory = new Inventory();
  const logs: { msg: string; container?: string; reason?: string }[] = [];
  const keeper = new HostsKeeper(
    inventory,
    pino({ base: null }, { write: (text: string) => void logs.push(JSON.parse(text) as (typeof logs)[number]) }),
  );
  t.teardown(() => keeper.stop());
  const path = `${t.testdir({ containers: { p: {} } })}/containers/p/hosts`;
  const parent = container({
    id: "p",
    name: "parent",
    hostname: "box",
    hostsPath: path,
    legacyLinks: [["child", "db"]],
    endpoints: [on("bridge", "127.0.0.1")],
  });
  const child = container({ id: "c", name: "child", hostname: "c1", endpoints: [on("bridge", "172.17.0.2")] });
  writeFileSync(path, head + line("172.17.0.2", "db c1 child"));
  inventory.source("docker").putContainer(parent);
  inventory.source("docker").putContainer(child);
  keeper.start();
  return { inventory, keeper, logs, path, parent, child, text: () => readFileSync(path, "utf8") };
}

t.test("a renamed or moved child is followed, also when Docker has forgotten the link", async (t) => {
  const { inventory, path, parent, child, text } = bench(t);
  await nextTurn();
  const { ino } = statSync(path);
  inventory.source("docker").putContainer({ ...child, name: "kid" });
  await nextTurn();
  t.equal(text(), head + line("172.17.0.2", "db c1 kid"));
  inventory.source("docker").putContainer({ ...parent, legacyLinks: [] });
  inventory.source("docker").putContainer({ ...child, name: "kid", endpoints: [on("bridge", "172.17.0.33")] });
  await nextTurn();
  t.equal(text(), head + line("172.17.0.33", "db c1 kid"));
  inventory
    .source("docker")
    .putContainer(container({ id: "d", name: "child", hostname: "c1", endpoints: [on("bridge", "172.17.0.9")] }));
  inventory.source("docker").removeContainer("c");
  await nextTurn();
  t.equal(text(), head + line("172.17.0.33", "db c1 kid"), "the line of a child that is gone is left to Docker");
  t.equal(statSync(path).ino, ino);
});

t.test("nothing is written", (t) => {
  t.test("for a child that is stopped or off the bridge", async (t) => {
    const { inventory, child, text } = bench(t);
    await nextTurn();
    inventory.source("docker").putContainer({ ...child, name: "kid", running: false });
    await nextTurn();
    inventory.source("docker").putContainer({ ...child, name: "kid", endpoints: [on("n1", "172.18.0.2")] });
    await nextTurn();
    t.equal(text(), head + line("172.17.0.2", "db c1 child"));
  });
  t.test("when nothing is wrong", async (t) => {
    const { inventory, path, parent } = bench(t);
    utimesSync(path, 1000, 1000);
    await nextTurn();
    inventory.source("docker").putContainer({ ...parent, labels: { a: "b" } });
    await nextTurn();
    t.equal(statSync(path).mtimeMs, 1_000_000);
  });
  t.test("into a user's own hosts file, or after stop", async (t) => {
    const { inventory, keeper, parent, child, text } = bench(t);
    inventory.source("docker").removeContainer("p");
    inventory.source("docker").putContainer({ ...parent, id: "q" }); // its path is not that of container q
    inventory.source("docker").putContainer({ ...child, name: "kid" });
    await nextTurn();
    inventory.source("docker").putContainer(parent);
    keeper.stop();
    await nextTurn();
    t.equal(text(), head + line("172.17.0.2", "db c1 child"));
  });
  t.end();
});

t.test("an edit of Docker's that overtook ours is made good a little later", async (t) => {
  const { inventory, path, child, text } = bench(t);
  await nextTurn();
  inventory.source("docker").putContainer({ ...child, name: "kid" });
  await nextTurn();
  writeFileSync(path, head + line("172.17.0.2", "db c1 child"));
  for (const deadline = Date.now() + 5000; !text().includes("kid") && Date.now() < deadline;) await pause(5);
  t.equal(text(), head + line("172.17.0.2", "db c1 kid"));
});

t.test("own lines come back for addresses the namespace has", async (t) => {
  const { inventory, path, parent, text } = bench(t);
  writeFileSync(path, "# none\n");
  inventory
    .source("docker")
    .putContainer({ ...parent, endpoints: [on("bridge", "127.0.0.1"), on("n1", "192.0.2.77")] });
  await nextTurn();
  t.equal(text(), `# none\n${line("127.0.0.1", "box")}`);
});

t.test("a file that is odd is refused, said once, and stops nothing", async (t) => {
  const { inventory, logs, path, parent } = bench(t);
  const other = path.replace("/p/", "/q/");
  mkdirSync(other.replace("/hosts", ""));
  symlinkSync(path, other);
  inventory.source("docker").putContainer({ ...parent, id: "q", name: "linked", hostsPath: other });
  await nextTurn();
  inventory
    .source("docker")
    .putContainer({ ...parent, id: "q", name: "linked", hostsPath: other, labels: { again: "1" } });
  writeFileSync(path, head.repeat(10_000));
  inventory.source("docker").putContainer({ ...parent, labels: { big: "1" } });
  await nextTurn();
  t.match(logs, {
    length: 2,
    0: { container: "linked", reason: /is a symbolic link, not a regular file/ },
    1: { container: "parent", reason: /edits up to 65536/ },
  });
  t.equal(logs.length, 2);
});

t.test("many large files are mended with turns for others in between, and a fifo holds nobody up", async (t) => {
  const { inventory, keeper, logs, path: first, child } = bench(t);
  const folder = dirname(dirname(first));
  const large = head.repeat(3000) + line("172.17.0.2", "db c1 child");
  const paths = Array.from({ length: 50 }, (_, index) => {
    const path = `${folder}/p${index}/hosts`;
    mkdirSync(dirname(path));
    if (index === 7) spawnSync("mkfifo", [path]);
    else writeFileSync(path, large);
    inventory.source("docker").putContainer(
      container({
        id: `p${index}`,
        name: `parent${index}`,
        hostsPath: path,
        legacyLinks: [["child", "db"]],
        endpoints: [on("bridge", "127.0.0.1")],
      }),
    );
    return path;
  });
  await nextTurn();
  inventory.source("docker").putContainer({ ...child, name: "kid" });
  const mended = () =>
    paths.filter((path, index) => index !== 7 && readFileSync(path, "latin1").endsWith("kid\n")).length;
  let turns = 0;
  for (const deadline = Date.now() + 10_000; mended() < 49 && Date.now() < deadline; turns++) await nextTurn();
  t.equal(mended(), 49);
  t.ok(turns > 5, `${turns} turns`);
  t.match(
    logs.filter(({ reason }) => reason !== undefined),
    { length: 1, 0: { container: "parent7", reason: /a fifo/ } },
  );
  keeper.stop();
});

function container(given: Partial<Container>): Container {
  return anyContainer("", { sandbox: { kind: "process", id: "s", pid: process.pid }, ...given });
}
