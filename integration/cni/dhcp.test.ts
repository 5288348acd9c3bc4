import t from "tap";
import { BareHost, until } from "../lab/index.js";
import { DhcpServer } from "../networks/dhcp-server.js";
import { marksOn, run, startShell } from "../networks/host.js";
import { addressOf, callCni, insideOf, makeNamespaces } from "./engine.js";

// containers/netavark issue 676 and pull request 1130: a container's name was not told, and each start gave it another address.
t.test("containers of another engine have addresses that the LAN's DHCP server lends", async (t) => {
  const host = await BareHost.start(t);
  const outside = await host.outside();
  const server = await DhcpServer.start(host, outside, { options: ["option:T1,3"] });
  const pontoon = await host.pontoon();
  await run(pontoon, "network create -d macvlan --parent outside --ipam dhcp --host-address 10.77.0.9 front");
  const [one, two] = await makeNamespaces(host, "one", "two");
  const before = await marksOn(host);
  const web = { container: "c".repeat(64), netns: one!, args: "K8S_POD_NAME=web" };
  const added = await callCni(host, "ADD", web, {
    runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, hostIP: "127.0.0.1" }] },
  });
  t.equal(added.exitCode, 0, JSON.stringify(added.answer));
  const [lent] = await server.leases();
  t.same(added.answer["ips"], [{ address: `${lent!.ip}/24`, gateway: "10.77.0.2", interface: 0 }]);
  t.same(added.answer["routes"], [{ dst: "0.0.0.0/0", gw: "10.77.0.2" }]);
  t.equal(lent!.name, "web", "the server knows its name");
  t.equal((await insideOf(host, one!, `busybox ping -c 1 -W 1 ${outside.address}`)).exitCode, 0);
  t.same(await callCni(host, "CHECK", web, { prevResult: added.answer }), { exitCode: 0, answer: {} });
  t.equal((await callCni(host, "ADD", { container: "d1", netns: two! })).exitCode, 0);
  t.equal(await addressOf(host, two!, "web"), lent!.ip, "and so do its neighbours");

  const httpd = await startShell(host, `exec nsenter --net=${one!} busybox httpd -f -p 80 -h /etc`);
  const page = ["busybox", "wget", "-q", "-O-", "http://127.0.0.1:8080/hostname"];
  const isServed = async () => (await host.exec(page, { reject: false })).exitCode === 0;
  await until(isServed, { what: "its port is published" });

  await server.stop();
  await server.start({ range: ["10.77.0.200", "10.77.0.220"], forgets: true });
  const lentNow = async () => (await server.leases()).find(({ name }) => name === "web");
  await until(lentNow, { what: "it is lent another address" });
  await until(isServed, { what: "its port leads there" });
  t.match(await run(pontoon, "port --long"), (await lentNow())!.ip);
  await host.signal("SIGKILL", httpd);

  const { ip, clientId } = (await lentNow())!;
  t.equal((await callCni(host, "DEL", web)).exitCode, 0);
  await until(async () => (await lentNow()) === undefined, { what: "its lease is given back" });
  t.equal((await callCni(host, "ADD", web)).exitCode, 0, "it starts anew");
  t.match(await lentNow(), { ip, clientId }, "and is the same client");
  for (const gone of [web, { container: "d1", netns: two! }]) await callCni(host, "DEL", gone);
  await until(async () => (await server.leases()).length === 0, { what: "all leases are given back" });
  t.equal(await marksOn(host), before);

  await server.stop();
  t.match(await callCni(host, "ADD", web), { exitCode: 1, answer: { details: /^DHCP_SILENT/ } });
  t.equal(await marksOn(host), before, "nothing is left");
  t.equal(await pontoon.stop(), 0);
});
