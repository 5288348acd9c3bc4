// A host between two other machines: what becomes of it when networks have it forward.
import t, { type Test } from "tap";
import { BareHost, until, type Outside, type TestOwner } from "../lab/index.js";
import { reaches, run } from "./host.js";

const near = "10.77.0.2";
const far = "10.78.0.2";

/** @param forwarding settings of the host, by sysctl's names */
async function makeHost(t: TestOwner, forwarding: Readonly<Record<string, number>>) {
  const host = await BareHost.start(t);
  const outside = await host.outside();
  await host.outside({ name: "beyond", prefix: "10.78.0", defaultRoute: false });
  for (const [key, value] of Object.entries({ ip_forward: 0, ...forwarding }))
    await host.exec(["sysctl", "-qw", `net.ipv4.${key}=${value}`]);
  return { host, outside };
}

const passes = async (outside: Outside) =>
  (await outside.exec(["busybox", "ping", "-c", "1", "-W", "1", far], { reject: false })).exitCode === 0;
const forwards = async (host: BareHost) => (await host.exec(["sysctl", "-n", "net.ipv4.ip_forward"])).stdout.trim();
const tables = async (host: BareHost) => (await host.exec(["nft", "list", "tables"])).stdout.trim();

/** A guest on a bridge that is not pontoon's, as Docker's containers are. */
async function addGuest(host: BareHost): Promise<void> {
  const script = `
    ip link add br9 type bridge; ip address add 10.79.0.1/24 dev br9; ip link set br9 up
    ip netns add guest; ip link add guest type veth peer name eth0 netns guest
    ip link set guest master br9 up
    ip -n guest address add 10.79.0.2/24 dev eth0; ip -n guest link set eth0 up; ip -n guest route add default via 10.79.0.1`;
  await host.exec(["sh", "-ec", script]);
}

async function guestReaches(host: BareHost, t: Test, target: string, message: string): Promise<void> {
  const ping = ["ip", "netns", "exec", "guest", "busybox", "ping", "-c", "1", "-W", "2", target];
  t.equal((await host.exec(ping, { reject: false })).exitCode, 0, message);
}

t.test("a host that pontoon makes forward is no router between its own links", async (t) => {
  const { host, outside } = await makeHost(t, {});
  let pontoon = await host.pontoon();
  t.notOk(await passes(outside), "before");
  await run(pontoon, "sandbox create web");
  t.equal(await forwards(host), "1");
  const bothWays = async (when: string) => {
    t.same([await reaches(pontoon, "web", near), await reaches(pontoon, "web", far)], [true, true], when);
    t.notOk(await passes(outside), when);
  };
  await bothWays("with a network");
  await pontoon.kill();
  t.notOk(await passes(outside), "without a daemon");
  pontoon = await host.pontoon();
  await bothWays("with the next daemon");
  await host.exec(["nft", "delete", "table", "ip", "pontoon-forwarding"]);
  await until(async () => (await tables(host)).includes("ip pontoon-forwarding"), { what: "the rule is put back" });
  await bothWays("with the rule put back");
  await addGuest(host);
  await guestReaches(host, t, near, "what is on others' bridges passes");

  await run(pontoon, "sandbox rm web");
  await run(pontoon, "network prune");
  t.equal(await forwards(host), "1", "others have a bridge, and may need it");
  t.notOk(await passes(outside), "and the host is no router for that");
  await guestReaches(host, t, far, "who may need it has it");
  t.equal(await tables(host), "table ip pontoon-forwarding");
  await host.exec(["ip", "link", "del", "br9"]);
  await run(pontoon, "network create again");
  await run(pontoon, "network rm again");
  t.equal(await forwards(host), "0", "off again, as nobody can need it");
  t.equal(await tables(host), "");
  t.notOk(await passes(outside), "in the end");
  t.equal(await pontoon.stop(), 0);
});

t.test("what was forwarded before goes on, and its settings stay", async (t) => {
  const cases: [what: string, settings: Readonly<Record<string, number>>, after: string][] = [
    ["the host", { ip_forward: 1 }, "1"],
    ["two links of it", { "conf.outside.forwarding": 1, "conf.beyond.forwarding": 1 }, "1"],
  ];
  for (const [what, settings, after] of cases) {
    const { host, outside } = await makeHost(t, settings);
    const pontoon = await host.pontoon();
    t.ok(await passes(outside), `${what}: before`);
    await run(pontoon, "sandbox create web");
    t.ok(await passes(outside), `${what}: with a network`);
    t.ok(await reaches(pontoon, "web", far));
    await run(pontoon, "sandbox rm web");
    await run(pontoon, "network prune");
    t.ok(await passes(outside), `${what}: in the end`);
    t.equal(await forwards(host), after);
    t.equal((await tables(host)).includes("pontoon-forwarding"), settings.ip_forward !== 1);
    t.equal(await pontoon.stop(), 0);
  }
});

t.test("with ip-forward: false the setting is left alone, which is said", async (t) => {
  const { host, outside } = await makeHost(t, {});
  const pontoon = await host.pontoon({ config: "network:\n  ip-forward: false\n", args: ["--log-level=info"] });
  await run(pontoon, "sandbox create web");
  await run(pontoon, "network create more");
  t.equal(await forwards(host), "0");
  t.notOk(await passes(outside));
  t.notOk(await reaches(pontoon, "web", near));
  const said = pontoon.logs.filter((line) => line.includes("forwarding of IPv4 packets is off, and stays so"));
  t.equal(said.length, 1);
  t.equal(await pontoon.stop(), 0);
});
