// Ports of containers on networks of the driver pontoon: from everywhere, by any address, on both paths.
import t from "tap";
import type { PortRow } from "../../src/ports/contract.js";
import { until } from "../lab/index.js";
import { both } from "../networks/talk.js";
import { host4, host6, outside4, outside6, PublishingHost } from "./published.js";

const published = await PublishingHost.start(t);
const { talk } = published;
await published.docker("network create -d pontoon --ipv6 --subnet 10.91.1.0/24 --subnet fd91:1::/64 front");
await published.docker("network create -d pontoon --ipv6 --subnet 10.91.2.0/24 --subnet fd91:2::/64 back");
await published.docker("network create -d pontoon --subnet 10.91.3.0/24 plain");
await published.docker("network create --subnet 10.90.1.0/24 dockers");

/** The same published port, TCP and UDP. */
const ports = (...maps: readonly string[]) => maps.map((map) => `-p ${map}:80 -p ${map}:80/udp`).join(" ");

await published.serve(
  "web",
  `--network front ${ports("8001", "10.77.0.1:8002", "127.0.0.1:8003", "[::1]:8003", "[fd77::1]:8004")}`,
  80,
);
await published.serve("four", `--network plain ${ports("8011")}`, 80);
await published.run("near", "--network front");
await published.run("far", "--network back");
await published.run("bridged", "--network dockers");
for (const name of ["near", "far", "bridged"]) await published.answer(name);

t.test("what is published is listed with its path, and Docker knows nothing of it", async (t) => {
  const paths = (await published.rows("web")).map(
    ({ ip, hostPort, transport, path, source }) => `${transport} ${ip} ${hostPort} ${path} ${source}`,
  );
  t.same(
    paths,
    ["tcp", "udp"].flatMap((transport) => [
      `${transport} 0.0.0.0 8001 kernel driver`,
      `${transport} :: 8001 kernel driver`,
      `${transport} 10.77.0.1 8002 kernel driver`,
      `${transport} 127.0.0.1 8003 proxy driver`,
      `${transport} ::1 8003 proxy driver`,
      `${transport} fd77::1 8004 kernel driver`,
    ]),
  );
  t.same(
    (await published.rows("four")).map(({ ip, transport, path }) => `${transport} ${ip} ${path}`),
    ["tcp 0.0.0.0 kernel", "tcp :: proxy", "udp 0.0.0.0 kernel", "udp :: proxy"],
    "IPv6 clients of a container without IPv6 are served by the proxy",
  );
  t.equal(await published.docker("port web"), "");
  const links = (await published.host.exec(["busybox", "ip", "-o", "link"], { netns: "web" })).stdout;
  t.same(
    [...links.matchAll(/^\d+: (\w+)/gm)].map(([, name]) => name).sort(),
    ["eth0", "lo"],
    "nor is docker_gwbridge there",
  );
});

t.test("from another host: the container sees the client's own address on the kernel's path", async (t) => {
  t.same(
    await talk.wrong([
      ...both("outside", `${host4} 8001`, `web ${outside4}`),
      ...both("outside", `${host6} 8001`, `web ${outside6}`),
      ...both("outside", `${host4} 8002`, `web ${outside4}`),
      ...both("outside", `${host6} 8002`, ""),
      ...both("outside", `${host6} 8004`, `web ${outside6}`),
      ...both("outside", `${host4} 8004`, ""),
      ...both("outside", `${host4} 8003`, ""),
      ...both("outside", `${host6} 8003`, ""),
      ...both("outside", `${host4} 8011`, `four ${outside4}`),
      ...both("outside", `${host6} 8011`, "four 10.91.3.1"),
      // What is not published is not reached.
      ...both("outside", "10.91.1.2 80", ""),
    ]),
    [],
  );
});

t.test("from the host, by its loopback and its own addresses", async (t) => {
  t.same(
    await talk.wrong([
      ...both("host", "127.0.0.1 8001", "web 10.91.1.1"),
      ...both("host", "::1 8001", "web fd91:1::1"),
      ...both("host", `${host4} 8001`, `web ${host4}`),
      ...both("host", `${host6} 8001`, `web ${host6}`),
      ...both("host", "10.91.1.1 8001", "web 10.91.1.1"),
      ...both("host", "127.0.0.1 8003", "web 10.91.1.1"),
      ...both("host", "::1 8003", "web fd91:1::1"),
      ...both("host", `${host4} 8003`, ""),
      ...both("host", "127.0.0.1 8002", ""),
      ...both("host", "127.0.0.1 8011", "four 10.91.3.1"),
      ...both("host", "::1 8011", "four 10.91.3.1"),
    ]),
    [],
  );
});

t.test("from the container itself, from its network, from another one, and from Docker's", async (t) => {
  t.same(
    await talk.wrong([
      ...["web", "near"].flatMap((from) => [
        ...both(from, `${host4} 8001`, "web 10.91.1.1"),
        ...both(from, `${host6} 8001`, "web fd91:1::1"),
        ...both(from, "10.91.1.1 8001", "web 10.91.1.1"),
        ...both(from, `${host4} 8003`, ""),
      ]),
      // dockerd has bridges filtered by IP's rules: to those the kernel forwards nothing between two of them.
      ...both("far", `${host4} 8001`, "web 10.91.1.1"),
      ...both("far", `${host6} 8001`, "web fd91:1::1"),
      ...both("bridged", `${host4} 8001`, "web 10.91.1.1"),
      ...both("bridged", "10.90.1.1 8001", "web 10.91.1.1"),
      ...both("far", `${host4} 8011`, "four 10.91.3.1"),
      ...both("far", `${host6} 8011`, "four 10.91.3.1"),
      ...both("far", `${host4} 8003`, ""),
      ...both("bridged", `${host4} 8003`, ""),
    ]),
    [],
  );
});

t.test("ports that are left to choose: -P, one of a range, any", async (t) => {
  await published.serve("any", "--network front --expose 80 --expose 81/udp -P -p 82", 80, 81, 82);
  const chosen = await published.rows("any");
  t.same(
    chosen.map(({ containerPort, transport, ip }) => `${containerPort} ${transport} ${ip}`),
    ["80 tcp 0.0.0.0", "80 tcp ::", "81 udp 0.0.0.0", "81 udp ::", "82 tcp 0.0.0.0", "82 tcp ::"],
  );
  t.equal(new Set(chosen.map(({ hostPort }) => hostPort)).size, 3, "the same one in both families");
  t.same(await published.port("any"), chosen.map(lineOf));
  for (const { transport, hostPort } of chosen)
    t.equal(await talk.ask("outside", `${transport} ${host4} ${hostPort}`), `any ${outside4}`);

  for (const [index, name] of ["one", "two", "three"].entries()) {
    await published.serve(name, "--network front -p 7000-7002:80", 80);
    t.same(
      (await published.rows(name)).map(({ hostPort }) => hostPort),
      [7000 + index, 7000 + index],
    );
  }
  t.match(
    await published.refused("run --rm --network front -p 7000-7002:80 busybox true"),
    /no tcp port from 7000 to 7002 of 0\.0\.0\.0 and :: is free; choose others/,
  );
  await published.docker("rm -f two");
  await published.serve("two", "--network front -p 7000-7002:80", 80);
  t.same(await talk.wrong([{ from: "outside", to: `tcp ${host4} 7001`, expect: `two ${outside4}` }]), []);

  const range = Array.from({ length: 10 }, (_, index) => 20_000 + index);
  await published.serve("range", "--network front -p 20000-20009:20000-20009", ...range);
  t.same(
    await talk.wrong(
      range.map((port) => ({ from: "outside", to: `tcp ${host4} ${port}`, expect: `range ${outside4}` })),
    ),
    [],
  );
  await published.docker("rm -f any one two three range");
  for (const name of ["any", "one", "two", "three", "range"]) await talk.end(name);
  t.same(
    (await published.rows()).map(({ container }) => container).filter((name) => !["web", "four"].includes(name)),
    [],
  );
});

function lineOf({ containerPort, transport, ip, hostPort }: PortRow): string {
  return `${containerPort}/${transport} -> ${ip === "::" ? "[::]" : ip}:${hostPort}`;
}

t.test("stopped, started, restarted, renamed and removed", async (t) => {
  const isServed = (name = "life") => talk.wrong(both("outside", `${host4} 8021`, `${name} ${outside4}`));
  await published.serve("life", `--network plain ${ports("8021")}`, 80);
  t.same(await isServed(), []);
  await published.docker("stop life");
  t.same(await published.rows("life"), [], "it frees its ports");
  t.same(await talk.wrong(both("outside", `${host4} 8021`, "")), []);
  for (const line of ["start life", "restart life", "kill life", "start life"]) {
    await talk.end("life");
    await published.docker(line);
    if (line === "kill life") continue;
    await published.answer("life", 80);
    t.same(await isServed(), [], line);
  }
  await published.docker("rename life after");
  const hasRows = async () => (await published.rows()).some(({ container }) => container === "after");
  await until(hasRows, { what: "its ports are listed by the new name" });
  t.same((await published.rows("after")).length, 4);
  await t.rejects(published.rows("life"));
  t.same(await isServed(), []);
  await talk.end("life");
  await published.docker("rm -f after");
  t.same(
    (await published.rows()).filter(({ container }) => container === "after"),
    [],
  );
});

t.test("with several networks, by the one that is the gateway, as with Docker's own driver", async (t) => {
  /** Whom a client of one driver reaches by which network, after each step. */
  for (const [driver, subnet] of [
    ["pontoon", 101],
    ["bridge", 111],
  ] as const) {
    const names = ["zz", "aa"].map((name) => `${driver}-${name}`);
    for (const [index, name] of names.entries())
      await published.docker(`network create -d ${driver} --subnet 10.${subnet}.${index}.0/24 ${name}`);
    const [zz, aa] = names as [string, string];
    const where: string[] = [];
    const look = async (step: string) => {
      const gateway = await published.host.exec(["busybox", "ip", "route"], { netns: "many" });
      const [, way = "none"] = /default via 10\.\d+\.(\d+)\.1/.exec(gateway.stdout) ?? [];
      const answer = await talk.ask("outside", `tcp ${host4} ${subnet}00`);
      where.push(`${step}: ${way} ${answer}`);
    };
    await published.serve("many", `--network ${zz} -p ${subnet}00:80`, 80);
    await look("zz");
    await published.docker(`network connect ${aa} many`);
    await look("aa joins");
    await published.docker(`network disconnect ${aa} many`);
    await look("aa leaves");
    await published.docker(`network connect ${aa} many`);
    await published.docker(`network disconnect ${zz} many`);
    await look("zz leaves");
    await published.docker(`network disconnect ${aa} many`);
    await look("aa leaves too");
    await published.docker(`network connect ${zz} many`);
    await look("zz joins");
    t.same(
      where,
      [
        `zz: 0 many ${outside4}`,
        `aa joins: 1 many ${outside4}`,
        `aa leaves: 0 many ${outside4}`,
        `zz leaves: 1 many ${outside4}`,
        "aa leaves too: none ",
        `zz joins: 0 many ${outside4}`,
      ],
      driver,
    );
    if (driver === "pontoon") {
      t.equal((await published.rows("many"))[0]?.target, "10.101.0.2:80");
      await published.docker("network connect dockers many");
      await published.docker(`network disconnect ${zz} many`);
      t.same(
        (await published.rows("many")).map(({ by }) => by),
        ["docker", "docker"],
        "on Docker's bridge, Docker publishes it",
      );
      await published.docker(`network connect ${zz} many`);
      await published.docker("network disconnect dockers many");
      t.same(await talk.ask("outside", `tcp ${host4} ${subnet}00`), `many ${outside4}`);
    }
    await talk.end("many");
    await published.docker("rm -f many");
    for (const name of names) await published.docker(`network rm ${name}`);
  }
});

t.teardown(() => published.pontoon.stop());
