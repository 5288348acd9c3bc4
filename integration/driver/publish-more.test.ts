// Ports of containers on networks of the driver pontoon: those that cannot be had, and those that Docker publishes.
import t from "tap";
import { Client, until } from "../lab/index.js";
import { both } from "../networks/talk.js";
import { host4, outside4, PublishingHost } from "./published.js";

const published = await PublishingHost.start(t);
const { host, talk } = published;
await published.docker("network create -d pontoon --subnet 10.91.1.0/24 front");
const client = new Client(host);

t.test("a port that is taken fails docker run, names the holder, and leaves nothing behind", async (t) => {
  await published.serve("web", "--network front -p 8001:80", 80);
  await published.run("dockers", "-p 8002:80");
  await published.run("lone", "--network front");
  t.match(await published.pontoon.cli("publish", "lone", "8003:80"), { exitCode: 0, stderr: "" });
  t.equal(await client.occupy("tcp", "0.0.0.0", 8004), "");
  t.equal(await client.occupy("udp", "127.0.0.1", 8005), "");
  const before = await published.marks();
  for (const [port, reason] of [
    ["8001", /tcp port 8001 is taken: pontoon publishes it for web \(80\/tcp\); choose another/],
    ["127.0.0.1:8001", /tcp port 8001 is taken: pontoon publishes it for web \(80\/tcp\); choose another/],
    ["8002", /tcp port 8002 is taken: Docker publishes it for dockers \(80\/tcp\); choose another/],
    ["8003", /tcp port 8003 is taken: pontoon publishes it for lone \(80\/tcp\); choose another/],
    ["8004", /tcp port 0\.0\.0\.0:8004 is taken \(held by node, pid \d+\); choose another/],
    ["10.99.99.99:8006", /10\.99\.99\.99/],
  ] as const) {
    t.match(await published.refused(`run --name late --network front -p 8100:81 -p ${port}:80 busybox true`), reason);
    await published.docker("rm late");
  }
  t.match(
    await published.refused("run --rm --network front -p 8005:80/udp busybox true"),
    /udp port 0\.0\.0\.0:8005 is taken \(held by node, pid \d+\); choose another/,
  );
  t.match(
    await published.refused("run --rm --network front -p 8006:80 -p 8006:81 busybox true"),
    /tcp port 8006 is taken: pontoon publishes it for .* \(8[01]\/tcp\); choose another/,
  );
  t.match(
    await published.refused("run --rm --network front -p 8007:80/sctp busybox true"),
    /pontoon forwards TCP and UDP, not SCTP \(80\/sctp\); use a network that was made with -o pontoon\.ports=docker/,
  );
  // Links are deleted aside.
  await until(async () => (await published.marks()) === before, { what: "nothing is left" }).catch(() => undefined);
  t.equal(await published.marks(), before);
  t.same([...new Set((await published.rows()).map(({ container }) => container))].sort(), ["dockers", "lone", "web"]);
  const addresses = await published.docker("network inspect front --format={{range.Containers}}{{.Name}},{{end}}");
  t.equal(addresses.split(",").filter(Boolean).sort().join(), "lone,web");

  await published.serve("late", "--network front -p 8100:80", 80);
  t.same(await talk.wrong([{ from: "outside", to: `tcp ${host4} 8100`, expect: `late ${outside4}` }]), []);
  t.match(
    await published.refused("run --rm -p 8100:80 busybox true"),
    /address already in use|port is already allocated/,
    "nor does Docker get what pontoon has",
  );
  await client.vacate();
  await published.docker("rm -f web dockers lone late");
  await published.pontoon.cli("unpublish", "lone");
  for (const name of ["web", "late"]) await talk.end(name);
  await published.hasNoPorts();
});

t.test("a small network does not run out of addresses by starts that fail", async () => {
  await published.docker("network create -d pontoon --subnet 10.91.9.0/29 --ipam-driver pontoon small");
  await client.occupy("tcp", "0.0.0.0", 8004);
  for (let round = 0; round < 7; round++) await published.refused("run --rm --network small -p 8004:80 busybox true");
  await client.vacate();
  for (let number = 1; number <= 5; number++) await published.run(`small${number}`, "--network small");
  await published.docker("rm -f small1 small2 small3 small4 small5");
  await published.docker("network rm small");
});

t.test("pontoon.ports=docker: Docker publishes", async (t) => {
  await published.docker("network create -d pontoon -o pontoon.ports=docker --subnet 10.91.2.0/24 theirs");
  await published.serve("web", "--network theirs -p 8011:80 -p 8011:80/udp", 80);
  t.match(await published.docker("port web"), /^80\/tcp -> 0\.0\.0\.0:8011$/m);
  t.ok((await published.rows("web")).every(({ by }) => by === "docker"));
  t.same(
    await talk.wrong([
      ...both("outside", `${host4} 8011`, `web ${outside4}`),
      { from: "host", to: "tcp 127.0.0.1 8011", expect: "web 172.18.0.1" },
    ]),
    [],
  );
  t.match((await host.exec(["ip", "-brief", "link"])).stdout, /^docker_gwbridge /m);
  await talk.end("web");
  await published.docker("rm -f web");
  await published.docker("network rm theirs");
});

t.test("pontoon.publish-internal: ports reach an internal network, and nothing leaves it", async (t) => {
  await published.docker(
    "network create -d pontoon --internal -o pontoon.publish-internal=true --ipv6 --subnet 10.91.3.0/24 --subnet fd91:3::/64 inner",
  );
  await published.docker("network create -d pontoon --internal --subnet 10.91.4.0/24 closed");
  await talk.serve("outside", 7000);
  await published.serve("web", "--network inner -p 8021:80 -p 8021:80/udp", 80);
  await published.serve("shut", "--network closed -p 8022:80", 80);
  const seen = (await published.rows("web")).map(({ path }) => path);
  t.equal(seen.length, 4);
  t.same(await published.rows("shut"), []);
  const wrong = await talk.wrong([
    ...["10.77.0.1", "fd77::1"].flatMap((ip) =>
      (["tcp", "udp"] as const).map((transport) => ({
        from: "outside",
        to: `${transport} ${ip} 8021`,
        expect: ip.includes(":") ? "web fd91:3::1" : "web 10.91.3.1",
      })),
    ),
    ...both("host", "127.0.0.1 8021", "web 10.91.3.1"),
    ...both("outside", `${host4} 8022`, ""),
    ...both("web", `${outside4} 7000`, ""),
    ...both("web", "fd77::2 7000", ""),
    ...both("web", `${host4} 22`, ""),
  ]);
  t.same(wrong, []);
  await published.docker("restart web");
  await published.answer("web", 80);
  t.equal(await talk.ask("outside", `tcp ${host4} 8021`), "web 10.91.3.1");
  for (const name of ["web", "shut"]) await talk.end(name);
  await published.docker("rm -f web shut");
  await published.docker("network rm inner closed");
  t.same(await published.rows(), []);
});

t.test("a sender that keeps its port reaches the next container at once", async (t) => {
  const own = { fromPort: 5555 };
  for (const name of ["first", "second"]) {
    await published.serve(name, "--network front -p 8041:80/udp", 80);
    t.equal(await talk.ask("outside", `udp ${host4} 8041`, own), `${name} ${outside4}`);
    t.equal(await talk.ask("host", "udp 127.0.0.1 8041", own), `${name} 10.91.1.1`);
    await talk.end(name);
    await published.docker(`rm -f ${name}`);
    t.equal(await talk.askInVain("outside", `udp ${host4} 8041`, own), "");
  }
});

t.test("ports come back when somebody empties the firewall", async (t) => {
  await published.serve("web", "--network front -p 8051:80", 80);
  await host.exec(["nft", "flush", "ruleset"]);
  await until(async () => (await talk.ask("outside", `tcp ${host4} 8051`)) === `web ${outside4}`, {
    what: "the kernel forwards again",
  });
  await talk.end("web");
  await published.docker("rm -f web");
  await published.docker("ps");
  t.same(await published.rows(), []);
});

t.test("many containers at once each have a port of their own", async (t) => {
  const names = Array.from({ length: 16 }, (_, index) => `many${index}`);
  await Promise.all(names.map((name) => published.run(name, "--network front -p 80")));
  const rows = await published.rows();
  t.equal(rows.length, 32);
  t.equal(new Set(rows.map(({ hostPort }) => hostPort)).size, 16);
  t.equal(new Set(rows.map(({ target }) => target)).size, 16);
  // Which one it is dockerd tells when it has time.
  const named = async () => [...new Set((await published.rows()).map(({ container }) => container))].sort();
  await until(async () => (await named()).join() === [...names].sort().join(), { what: "all are listed by name" });
  await published.docker(`rm -f ${names.join(" ")}`);
  t.same(await published.rows(), []);
});

t.teardown(() => published.pontoon.stop());
