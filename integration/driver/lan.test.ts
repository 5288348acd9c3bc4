import t from "tap";
import { until } from "../lab/index.js";
import { docker, nothingRemains, page, tryDocker } from "./host.js";
import { placeWith } from "./place.js";

/** The host's link to the LAN, on which the outside is its neighbour, 10.77.0.2. */
const lan = "-d pontoon -o pontoon.driver=macvlan -o parent=outside --subnet 10.77.0.0/24 --gateway 10.77.0.2";

t.test("containers on a macvlan network are neighbours on the LAN", async (t) => {
  const place = await placeWith(t, "pontoon");
  const { host, outside } = place;
  const outsideReaches = async (ip: string) =>
    (await outside.exec(["busybox", "ping", "-c", "1", "-W", "1", ip], { reject: false })).exitCode === 0;
  const hostReaches = async (ip: string) =>
    (await host.exec(["busybox", "ping", "-c", "1", "-W", "1", ip], { reject: false })).exitCode === 0;
  const reaches = async (from: string, target: string) =>
    (await tryDocker(host, `exec ${from} busybox ping -c 1 -W 1 ${target}`)).exitCode === 0;

  await docker(
    host,
    `network create ${lan} --ip-range 10.77.0.64/28 -o pontoon.host-access=10.77.0.99 --aux-address host=10.77.0.99 home`,
  );
  await docker(host, "run -d --name one --network home busybox sleep 100000");
  await docker(
    host,
    "run -d --name two --network home --network-alias printer -p 8080:80 busybox httpd -f -p 80 -h /etc",
  );
  const ip = await docker(host, "inspect -f {{.NetworkSettings.Networks.home.IPAddress}} two");
  t.match(await docker(host, "exec two ip -4 address show eth0"), new RegExp(`inet ${ip}/24`));
  t.match(await docker(host, "exec two ip route"), /default via 10\.77\.0\.2 dev eth0/);
  t.ok(await outsideReaches(ip), "the LAN reaches it");
  t.ok(await reaches("two", "10.77.0.2"), "and it the LAN");
  t.ok(await reaches("one", "two"), "names are answered");
  t.ok(await reaches("one", "printer"));
  t.ok(await hostReaches(ip), "the host reaches it");
  t.ok(await reaches("two", "10.77.0.99"), "and it the host");
  await until(async () => (await page(host, "http://127.0.0.1:8080/hostname")) !== undefined, {
    what: "its port is published",
  });
  t.notMatch((await host.exec(["nft", "list", "ruleset"])).stdout, /pontoon/, "the host's rules are left alone");
  await docker(host, "restart -t 0 two");
  t.ok(await outsideReaches(ip), "and is there again");
  t.ok(await hostReaches(ip));
  t.match(
    (await tryDocker(host, "run --rm --network home --ip 10.77.0.99 busybox true")).stderr,
    /10\.77\.0\.99|Address already in use/,
  );

  await place.pontoon!.kill();
  const next = await host.pontoon();
  t.ok(await hostReaches(ip), "a daemon that was killed is not missed");
  await host.restartDockerd();
  for (const name of ["one", "two"]) await docker(host, `start ${name}`);
  t.ok(await reaches("one", "two"));
  t.ok(await outsideReaches(await docker(host, "inspect -f {{.NetworkSettings.Networks.home.IPAddress}} two")));
  await docker(host, "network disconnect home one");
  t.notMatch(await docker(host, "exec one ip link"), /eth0/);
  await docker(host, "network connect home one");
  t.ok(await reaches("one", "two"));
  await docker(host, "kill two");
  await docker(host, "rm -f one two");
  await docker(host, "network rm home");
  await nothingRemains(t, host, next);
  t.equal(await next.stop(), 0);
});

t.test("over IPv6 as well", async (t) => {
  const { host, outside, pontoon } = await placeWith(t, "pontoon");
  await docker(host, `network create ${lan} --ipv6 --subnet fd77::/64 --gateway fd77::2 home`);
  await docker(host, "run -d --name six --network home --ip 10.77.0.70 --ip6 fd77::70 busybox sleep 100000");
  t.match(await docker(host, "exec six ip -6 address show eth0"), /fd77::70\/64/);
  t.match(await docker(host, "exec six ip -6 route"), /default via fd77::2 dev eth0/);
  const ping = ["busybox", "ping", "-6", "-c", "1", "-W", "1", "fd77::70"];
  await until(async () => (await outside.exec(ping, { reject: false })).exitCode === 0, { what: "the LAN reaches it" });
  await docker(host, "rm -f six");
  await docker(host, "network rm home");
  await nothingRemains(t, host, pontoon!);
  t.equal(await pontoon!.stop(), 0);
});

t.test("what Docker asks for on a LAN that cannot be is refused", async (t) => {
  const { host, pontoon } = await placeWith(t, "pontoon");
  for (const [options, reason] of [
    ["-o pontoon.driver=macvlan --subnet 10.78.0.0/24", /on a link of the host's; name it with --parent/],
    ["-o pontoon.driver=macvlan -o parent=eth7 --subnet 10.78.0.0/24", /the host has no link eth7/],
    ["-o pontoon.driver=macvlan -o parent=outside -o macvlan_mode=l2 --subnet 10.78.0.0/24", /macvlan has no mode l2/],
    ["-o pontoon.driver=pair --subnet 10.78.0.0/24", /a pair is of two sandboxes/],
    ["-o parent=outside --subnet 10.78.0.0/24", /driver bridge has no --parent/],
    ["-o pontoon.driver=macvlan -o parent=outside -o com.docker.network.bridge.enable_icc=false", /has no --icc/],
  ] as const) {
    const { exitCode, stderr } = await tryDocker(host, `network create -d pontoon ${options} x`);
    t.equal(exitCode, 1, options);
    t.match(stderr, reason, options);
  }
  await docker(host, `network create ${lan} home`);
  await docker(host, "run -d --name web --network home --ip 10.77.0.70 -p 8080:80 busybox sleep 100000");
  t.match(pontoon!.logs.join("\n"), /ports are not published: the host has no access/);
  await docker(host, "rm -f web");
  await docker(host, "network rm home");
  await nothingRemains(t, host, pontoon!);
  t.equal(await pontoon!.stop(), 0);
});
