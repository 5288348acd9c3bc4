import { statSync } from "node:fs";
import t from "tap";
import { BareHost, until } from "../lab/index.js";
import { marksOn, reaches, run, startShell } from "./host.js";

t.test(
  "sandboxes keep their network while there is no daemon; the next one has all of it; nothing is left in the end",
  async (t) => {
    const host = await BareHost.start(t);
    const outside = await host.outside();
    let pontoon = await host.pontoon();
    const before = await marksOn(host);
    await run(pontoon, "network create front");
    await run(pontoon, "network create six --ipv6 --subnet 10.66.0.0/24 --subnet fd66::/64");
    await run(pontoon, "sandbox create web --network front --network six");
    await run(pontoon, "sandbox create client --network front");
    await run(pontoon, "publish web 8080:80");
    // Started as a shell would, so that no daemon knows of them.
    await startShell(host, "sleep 1d | ip netns exec web busybox nc -l -p 7 >/run/ticks");
    await until(async () => (await host.exec(["ip", "netns", "exec", "web", "ss", "-ltn"])).stdout.includes(":7 "));
    const ticks = "while :; do echo tick; sleep 0.02; done";
    await startShell(host, `{ ${ticks}; } | ip netns exec client busybox nc 172.17.0.2 7`);
    const ping = await startShell(host, "exec ip netns exec client busybox ping -i 0.05 172.17.0.2 >/run/pings");
    await startShell(host, "ip netns exec web busybox httpd -f -p 80 -h /usr/share/doc/busybox-static");
    const sizes = () => ["/run/ticks", "/run/pings"].map((file) => statSync(host.path(file)).size);
    const grown = async (what: string) => {
      const then = sizes();
      await until(() => sizes().every((size, index) => size > then[index]!), { what });
    };
    const ask = async () =>
      (await outside.exec(["curl", "-s", "-o", "/dev/null", "-m", "5", `http://${outside.hostAddress}:8080/`]))
        .exitCode;
    await grown("the stream goes on");
    t.equal(await ask(), 0);
    const listed = async (what: string) => JSON.parse(await run(pontoon, `${what} ls --json`)) as unknown;
    const [networks, sandboxes] = [await listed("network"), await listed("sandbox")];
    const marks = await marksOn(host);

    await pontoon.kill();
    await grown("the stream goes on without a daemon");
    t.equal(await ask(), 0, "and so does what is published");
    t.equal(await marksOn(host), marks);
    pontoon = await host.pontoon();
    await grown("the stream goes on with the next daemon");
    t.same(await listed("network"), networks);
    t.same(await listed("sandbox"), sandboxes);
    t.equal(await marksOn(host), marks);
    t.ok(await reaches(pontoon, "client", "web"));
    t.equal(await ask(), 0);

    t.equal(await pontoon.stop("SIGINT"), 0);
    await grown("the stream goes on after Ctrl-C");
    await host.signal("SIGINT", ping);
    await until(async () => (await host.exec(["cat", "/run/pings"])).stdout.includes("packet loss"));
    t.match((await host.exec(["tail", "-n", "2", "/run/pings"])).stdout, / 0% packet loss/);

    pontoon = await host.pontoon();
    const end = "for pid in $(ip netns pids web) $(ip netns pids client); do kill $pid 2>/dev/null || true; done"; // one may have ended
    await host.exec(["sh", "-c", end]);
    t.equal(await run(pontoon, "sandbox rm web client"), "web\nclient");
    t.equal(await run(pontoon, "network prune"), "front\nsix", "in the order in which they were made");
    await until(async () => (await marksOn(host)) === before, { what: "nothing is left" });
    t.match(await run(pontoon, "port web"), "8080", "what is published stays so until it is unpublished");
    await run(pontoon, "unpublish web");
    t.equal(await run(pontoon, "port"), "");
    t.equal(await pontoon.stop(), 0);
  },
);

t.test("what a lost store leaves behind is removed, and its bridge's name is free", async (t) => {
  const host = await BareHost.start(t);
  const first = await host.pontoon();
  const marks = async () => (await host.exec(["sh", "-c", "ip -o link | cut -d: -f2; nft list tables"])).stdout;
  const before = await marks();
  await run(first, "sandbox create web");
  await first.kill();
  await host.exec(["rm", "/var/lib/pontoon/store.mdb"]);
  await host.exec(["ip", "netns", "delete", "web"]);
  const second = await host.pontoon();
  await until(async () => (await marks()) === before, { what: "nothing is left" });
  await run(second, "sandbox create web");
  t.match(JSON.parse(await run(second, "network links default --json")), {
    length: 1,
    0: { bridge: "pontoon0", ports: { length: 1 } },
  });
  await run(second, "sandbox rm web");
  await run(second, "network prune");
  t.equal(await marks(), before, "it was pontoon's own, not adopted");
  await second.stop();
});
