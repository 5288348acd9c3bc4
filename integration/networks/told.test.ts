import { readlinkSync } from "node:fs";
import t from "tap";
import { BareHost, until, type Pontoon } from "../lab/index.js";
import { inside, run, startShell } from "./host.js";

// What a program in a sandbox is told: its hostname, hosts, resolv.conf, and variables of those it is linked to.

const printed = async (pontoon: Pontoon, sandbox: string, line: string) =>
  (await inside(pontoon, sandbox, line)).stdout.trim();

t.test("hostname, hosts and resolv.conf are as they were asked for, in sandboxes made and adopted", async (t) => {
  const host = await BareHost.start(t);
  const outside = await host.outside();
  const upstream = await outside.dns({ address: "10.77.0.3" });
  await upstream.answer("www.corp.example", "A", "192.0.2.1");
  const pontoon = await host.pontoon();
  await run(pontoon, "network create front");
  const asked =
    "--network front --hostname box.example --add-host printer:192.0.2.7 --dns 10.77.0.3 --dns-search corp.example --dns-opt timeout:7";
  await run(pontoon, `sandbox create made ${asked}`);
  const pid = await startShell(host, "exec unshare --net sleep 1d");
  const netOf = (id: number) => readlinkSync(host.path(`/proc/${id}/ns/net`));
  await until(() => netOf(pid) !== netOf(1), { what: "it has its own namespace" });
  await run(pontoon, `sandbox adopt taken --pid ${pid} ${asked}`);
  for (const name of ["made", "taken"]) {
    t.equal(await printed(pontoon, name, "hostname"), "box.example", name);
    t.equal(await printed(pontoon, name, "cat /etc/hostname"), "box.example", name);
    t.match(await printed(pontoon, name, "cat /etc/hosts"), /^192\.0\.2\.7\tprinter$/m, name);
    t.equal(
      await printed(pontoon, name, "cat /etc/resolv.conf"),
      "nameserver 127.0.0.11\nsearch corp.example\noptions timeout:7 ndots:0",
      name,
    );
    t.match(await printed(pontoon, name, "getent hosts www"), /^192\.0\.2\.1\s/, `${name}: the server was asked`);
  }
  t.equal(await pontoon.stop(), 0);
});

t.test("a program finds variables of linked sandboxes, with the address they have by then", async (t) => {
  const host = await BareHost.start(t);
  const pontoon = await host.pontoon();
  await run(pontoon, "network create front");
  await run(pontoon, "sandbox create db --network front --expose 5432 --expose 5432/tcp --expose 53/udp");
  await run(pontoon, "sandbox create page --network front --link db:my-db");
  const variables = async () => (await run(pontoon, "sandbox env page")).split("\n");
  t.same(await variables(), [
    "MY_DB_PORT=udp://172.17.0.2:53",
    "MY_DB_PORT_53_UDP=udp://172.17.0.2:53",
    "MY_DB_PORT_53_UDP_ADDR=172.17.0.2",
    "MY_DB_PORT_53_UDP_PORT=53",
    "MY_DB_PORT_53_UDP_PROTO=udp",
    "MY_DB_PORT_5432_TCP=tcp://172.17.0.2:5432",
    "MY_DB_PORT_5432_TCP_ADDR=172.17.0.2",
    "MY_DB_PORT_5432_TCP_PORT=5432",
    "MY_DB_PORT_5432_TCP_PROTO=tcp",
    "MY_DB_NAME=/page/my-db",
  ]);
  const told = (await printed(pontoon, "page", "env")).split("\n");
  t.same(
    (await variables()).filter((line) => !told.includes(line)),
    [],
    "all of them are in the environment",
  );
  t.ok(
    told.some((line) => line.startsWith("PATH=")),
    "beside what was there",
  );
  t.notMatch(await printed(pontoon, "db", "env"), /MY_DB/);
  t.same(JSON.parse(await run(pontoon, "sandbox env db --json")), []);

  await run(pontoon, "sandbox rm db");
  t.same(await variables(), [""], "of one that is not there nothing is told");
  await run(pontoon, "sandbox create db --network front --ip 172.17.0.99 --expose 5432");
  t.match(await printed(pontoon, "page", "env"), /^MY_DB_PORT=tcp:\/\/172\.17\.0\.99:5432$/m);
  t.match(await pontoon.cli("sandbox", "env", "nobody"), {
    exitCode: 1,
    stderr: /^pontoon: there is no sandbox nobody;.*\n$/,
  });
  t.equal(await pontoon.stop(), 0);
});
