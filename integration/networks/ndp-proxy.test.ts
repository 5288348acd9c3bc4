// A LAN of IPv6 that knows of the host alone reaches sandboxes behind it by their own addresses.
import t from "tap";
import { BareHost, until } from "../lab/index.js";
import { run } from "./host.js";
import { Talk } from "./talk.js";

const prefix = "2001:db8:77";
const web = `${prefix}:0:1::2`;

/** A host, and a router on the LAN to which all of the prefix is at hand. It forwards only once somebody has it do so. */
async function makeHost(t: Parameters<typeof BareHost.start>[0]) {
  const host = await BareHost.start(t);
  const router = await host.outside();
  const shell = (script: string) => host.exec(["sh", "-ec", script]);
  await shell(`ip address add ${prefix}::1/64 dev outside nodad; ip -6 route add default via ${prefix}::2`);
  await router.addAddress(`${prefix}::2`);
  const reaches = async (ip: string) =>
    (await router.exec(["busybox", "ping", "-6", "-c", "1", "-W", "2", ip], { reject: false })).exitCode === 0;
  const forgets = () => router.exec(["ip", "-6", "neighbour", "flush", "dev", "eth0"]);
  return { host, router, shell, reaches, forgets };
}

const proxies = async ({ shell }: Awaited<ReturnType<typeof makeHost>>) =>
  (
    await shell(
      "cat /proc/sys/net/ipv6/conf/outside/proxy_ndp; ip -6 neighbour show proxy | sed 's/ proto .*//; s/ *$//'",
    )
  ).stdout.trim();

t.test(
  "the LAN reaches sandboxes by their own addresses, with which they leave, and does so no more in the end",
  async (t) => {
    const lan = await makeHost(t);
    const { host, router, shell, reaches, forgets } = lan;
    await shell("echo 1 > /proc/sys/net/ipv6/conf/outside/accept_ra");
    let pontoon = await host.pontoon();
    t.equal(await proxies(lan), "0");
    await run(pontoon, `network create front --subnet 10.66.1.0/24 --subnet ${prefix}:0:1::/80 --ndp-proxy`);
    t.match(await run(pontoon, "network inspect front"), /"pontoon.ndp-proxy": "outside"/);
    t.equal(
      (await shell("cat /proc/sys/net/ipv6/conf/outside/accept_ra")).stdout.trim(),
      "2",
      "the host takes advice still",
    );
    await run(pontoon, "sandbox create web --network front");
    await run(pontoon, "sandbox exec web busybox httpd -h /usr/share/doc/busybox-static");
    await run(pontoon, `network create shut --subnet 10.66.2.0/24 --subnet 2001:db8:88::/80`);
    await run(pontoon, "sandbox create other --network shut");
    t.equal(await proxies(lan), `1\n${web} dev outside proxy`);
    await until(() => reaches(web), { what: "it is reached" });
    await router.exec(["ip", "-6", "route", "add", "2001:db8:88::/48", "via", `${prefix}::1`]);
    const page = await router.exec(
      ["curl", "-s", "-o", "/dev/null", "-m", "5", "-w", "%{http_code}", `http://[${web}]/`],
      { reject: false },
    );
    t.match(page.stdout, /^(200|404)$/, "at any port");
    t.notOk(await reaches("2001:db8:88::2"), "another network's are not, whichever way leads there");
    const talk = new Talk(host);
    await talk.serve("outside", 7000);
    for (const transport of ["tcp", "udp"])
      t.equal(
        await talk.ask("web", `${transport} ${prefix}::2 7000`),
        `outside ${web}`,
        "it leaves with its own address",
      );

    await shell("ip link set outside down; ip link set outside up");
    await shell(`ip address add ${prefix}::1/64 dev outside nodad; ip -6 route replace default via ${prefix}::2`);
    await until(async () => (await proxies(lan)).includes(web), { what: "a link that went down answers again" });
    await until(() => reaches(web), { what: "it is reached again" });

    await pontoon.kill();
    await forgets();
    await until(() => reaches(web), { what: "it is reached without a daemon" });
    await shell(`ip -6 neighbour del proxy ${web} dev outside; echo 0 > /proc/sys/net/ipv6/conf/outside/proxy_ndp`);
    pontoon = await host.pontoon();
    await until(async () => (await proxies(lan)) === `1\n${web} dev outside proxy`, { what: "it is mended" });
    await forgets();
    await until(() => reaches(web), { what: "it is reached with the next daemon" });

    await run(pontoon, "network disconnect front web");
    t.equal(await proxies(lan), "1");
    await run(pontoon, "network connect front web");
    t.match(await proxies(lan), `${prefix}:0:1::`);
    await run(pontoon, "sandbox rm web other");
    await forgets();
    t.notOk(await reaches(web));
    await run(pontoon, "network rm front shut");
    t.equal(await proxies(lan), "0", "nothing is left");
    t.equal(await pontoon.stop(), 0);
  },
);

t.test("what was there before stays, and what cannot be is refused", async (t) => {
  const lan = await makeHost(t);
  const { host, shell } = lan;
  await shell(
    `echo 1 > /proc/sys/net/ipv6/conf/outside/proxy_ndp; ip -6 neighbour add proxy ${prefix}::99 dev outside`,
  );
  const before = await proxies(lan);
  const pontoon = await host.pontoon();
  for (const [line, error] of [
    ["--ndp-proxy none --subnet fd00:1::/64", /the host has no link none to answer on/],
    ["--ndp-proxy outside", /answers for IPv6 addresses, and network front has none/],
    [`--ndp-proxy outside --subnet ${prefix}::/64`, /has 2001:db8:77::1 in it, which is the host's own on outside/],
    [`--ndp-proxy outside --internal --subnet ${prefix}:0:1::/80`, /internal network has no --ndp-proxy/],
    [`--ndp-proxy outside -d macvlan --parent outside`, /has no --ndp-proxy/],
    [`--subnet ${prefix}:0:1::/80`, /overlaps.*the host's route 2001:db8:77::\/64 dev outside/],
  ] as const) {
    const { exitCode, stderr } = await pontoon.cli("network", "create", "front", ...line.split(" "));
    t.match([exitCode, stderr].join(" "), error, line);
    t.equal(exitCode, 1, line);
  }
  await shell("ip -6 route del default");
  const { stderr } = await pontoon.cli("network", "create", "front", "--subnet", "fd00:1::/64", "--ndp-proxy");
  t.match(stderr, /no default route of IPv6 that tells which link leads to the LAN/);
  t.equal(await proxies(lan), before);
  await run(pontoon, `network create front --subnet ${prefix}:0:1::/80 --ndp-proxy outside`);
  await run(pontoon, "sandbox create web --network front");
  t.match(await proxies(lan), web);
  await run(pontoon, "sandbox rm web");
  await run(pontoon, "network rm front");
  t.equal(await proxies(lan), before, "what an administrator has set stays");
  t.equal(await pontoon.stop(), 0);
});

t.test("a network whose subnet is a part of the link's prefix follows it, with all that is on it", async (t) => {
  const lan = await makeHost(t);
  const { host, router, shell, reaches } = lan;
  let pontoon = await host.pontoon();
  await run(pontoon, "network create front --subnet 10.66.1.0/24 --subnet from:outside --ndp-proxy outside");
  await run(pontoon, "sandbox create web --network front");
  await run(pontoon, "sandbox create client --network front --link web:www");
  await run(pontoon, "publish web 8080:80");
  await run(pontoon, "sandbox exec web busybox httpd -h /usr/share/doc/busybox-static");
  const second = "2001:db8:78";
  const third = "2001:db8:79";
  const answered = async (name: string) =>
    (await pontoon.cli("sandbox", "exec", "client", "busybox", "nslookup", "-type=aaaa", name)).stdout;
  const inside = async () =>
    (await pontoon.cli("sandbox", "exec", "web", "ip", "-6", "address", "show", "eth0")).stdout;
  const isAt = (net: string) => async () =>
    (await proxies(lan)).includes(`${net}:0:1::2 dev`) && !(await proxies(lan)).includes(`${prefix}:0:1::`);
  t.match(await proxies(lan), web);
  await until(() => reaches(web), { what: "it is reached" });

  const move = async (from: string, to: string) => {
    await shell(`ip address add ${to}::1/64 dev outside nodad`);
    await router.addAddress(`${to}::2`);
    await shell(`ip address del ${from}::1/64 dev outside; ip -6 route replace default via ${to}::2`);
  };
  const isWhole = async (net: string, old: string) => {
    await until(() => reaches(`${net}:0:1::2`), { what: `it is reached at ${net}` });
    t.match(await inside(), `${net}:0:1::2/80`);
    t.notMatch(await inside(), old, "the old address is gone");
    const bridge = (await shell("ip -6 -o address show | grep pt-")).stdout;
    t.match(bridge, `${net}:0:1::1/80`);
    t.notMatch(bridge, `${old}:0:1::1/80`);
    await until(async () => (await answered("web")).includes(`${net}:0:1::2`), { what: "its name follows" });
    t.match((await shell("cat /etc/netns/client/hosts")).stdout, `${net}:0:1::2\twww web`);
    t.match(await run(pontoon, "network inspect front"), `"Subnet": "${net}:0:1::/80"`);
    t.notOk(await reaches(`${old}:0:1::2`));
    const page = await router.exec([
      "curl",
      "-s",
      "-o",
      "/dev/null",
      "-m",
      "5",
      "-w",
      "%{http_code}",
      `http://[${net}::1]:8080/`,
    ]);
    t.match(page.stdout, /^(200|404)$/, "what is published is so at the host's new address");
  };
  // One whose namespace is not there keeps nobody else from it.
  await run(pontoon, "sandbox create gone --network front");
  await shell("ip netns delete gone");
  await move(prefix, second);
  await until(isAt(second), { what: "it has followed" });
  await isWhole(second, prefix);

  await pontoon.kill();
  await move(second, third);
  pontoon = await host.pontoon();
  await until(isAt(third), { what: "the next daemon has followed" });
  await isWhole(third, second);

  await run(pontoon, "sandbox create late --network front");
  t.match(await proxies(lan), `${third}:0:1::5 dev outside`);
  await run(pontoon, "unpublish web");
  await run(pontoon, "sandbox rm web client late gone");
  await run(pontoon, "network rm front");
  t.equal(await proxies(lan), "0", "nothing is left");
  const { stderr } = await pontoon.cli(
    "network",
    "create",
    "front",
    "-d",
    "macvlan",
    "--parent",
    "outside",
    "--subnet",
    "from:outside",
  );
  t.match(stderr, /a subnet that follows a prefix is for networks with a bridge of their own/);
  t.equal(await pontoon.stop(), 0);
});
