import t from "tap";
import { BareHost, until } from "../lab/index.js";
import { inside, marksOn, reaches, run } from "./host.js";

t.test("two sandboxes are joined by a link of their own", async (t) => {
  const host = await BareHost.start(t);
  let pontoon = await host.pontoon();
  const before = await marksOn(host);
  for (const name of ["one", "two", "three"]) await run(pontoon, `sandbox create ${name} --network default`);
  await run(pontoon, "sandbox pair one two --subnet 10.1.1.0/30 --subnet fd00:1::/126");
  const at = async (name: string) => (await inside(pontoon, name, "ip -br address show eth1")).stdout;
  t.match(await at("one"), /10\.1\.1\.1\/30 fd00:1::[12]\/126/);
  t.match(await at("two"), /10\.1\.1\.2\/30/);
  t.ok(await reaches(pontoon, "one", "10.1.1.2"));
  t.ok(await reaches(pontoon, "two", "10.1.1.1"));
  const [network] = JSON.parse(await run(pontoon, "network inspect one-two")) as [object];
  t.match(network, { Driver: "pair", Internal: true, IPAM: { Config: { 0: { Subnet: "10.1.1.0/30" } } } });
  t.equal((await host.exec(["ip", "-br", "link"])).stdout.includes("10.1.1"), false);

  for (const [line, reason] of [
    ["sandbox pair one one --subnet 10.1.2.0/30", /a pair has two ends, and one cannot be both/],
    ["sandbox pair one two --subnet 10.1.2.0/30", /there is a network one-two already/],
    ["sandbox pair one three --subnet 10.1.1.0/30", /10\.1\.1\.0\/30.*network one-two/],
    ["sandbox pair one nobody --subnet 10.1.2.0/30", /no sandbox nobody/],
    ["network connect one-two three", /network one-two is a pair, and its ends are one and two/],
    ["network create -d pair x", /--subnet/],
    ["network create -d pair --subnet 10.1.2.0/30 --parent eth0 x", /a pair has no --parent/],
  ] as const) {
    const { exitCode, stderr } = await pontoon.cli(...line.split(" "));
    t.equal(exitCode, 1, line);
    t.match(stderr, reason, line);
    t.match(stderr, /^pontoon: [^\n]+\n$/, line);
  }
  t.notMatch(await run(pontoon, "network ls"), /one-three|one-nobody/, "nothing is left of what was refused");

  await pontoon.kill();
  await host.exec(["ip", "-n", "two", "link", "del", "eth1"]);
  pontoon = await host.pontoon();
  await until(() => reaches(pontoon, "one", "10.1.1.2"), { what: "a link that was lost is back" });
  await run(pontoon, "network disconnect one-two two");
  t.notMatch((await inside(pontoon, "one", "ip link")).stdout, /eth1/, "a link has two ends, or none");
  await run(pontoon, "network connect one-two two");
  t.ok(await reaches(pontoon, "one", "10.1.1.2"));
  for (const name of ["one", "two", "three"]) await run(pontoon, `sandbox rm ${name}`);
  await run(pontoon, "network prune");
  t.equal(await marksOn(host), before);
  t.equal(await pontoon.stop(), 0);
});
