import t from "tap";
import { DockerHost, until } from "../lab/index.js";

t.test("on a network that other hosts share, the table alone never says no", async (t) => {
  const host = await DockerHost.start(t);
  const outside = await host.outside();
  const upstream = await outside.dns();
  const swarm = await host.exec(["docker", "swarm", "init", `--advertise-addr=${outside.hostAddress}`], {
    reject: false,
  });
  if (swarm.exitCode !== 0) return void t.pass("swarm", { skip: `no swarm here: ${swarm.stderr.trim()}` });
  const network = await host.exec(["docker", "network", "create", "--driver=overlay", "--attachable", "wide"], {
    reject: false,
  });
  if (network.exitCode !== 0)
    return void t.pass("overlay", { skip: `no overlay networks here: ${network.stderr.trim()}` });
  await host.docker("network", "create", "--driver=overlay", "--attachable", "--internal", "closed");
  // A service's name is a virtual address that no container of this host has: only Docker's resolver knows it.
  await host.docker(
    "service",
    "create",
    "--quiet",
    "--detach",
    "--name=store",
    "--network=wide",
    "--no-resolve-image",
    "busybox",
    "sleep",
    "1d",
  );

  const client = await host.container({ name: "client", networks: ["wide"], options: [`--dns=${outside.address}`] });
  const vault = await host.container({ name: "vault", networks: ["closed"] });
  const pontoon = await host.pontoon();
  await pontoon.answersIn(client);
  t.equal((await client.dig("client")).answers[0]?.ttl, 5, "its own names are in the table");
  await until(async () => (await client.dig("store")).addresses.length > 0, {
    timeoutMs: 20_000,
    what: "the service is found",
  });
  const found = await client.dig("store");
  t.equal(found.rcode, "NOERROR", "the service's name is found through Docker's resolver");
  t.ok(
    found.answers.every(({ ttl }) => ttl <= 5),
    "and not kept for Docker's ten minutes",
  );
  await upstream.answer("out.example", "A", "192.0.2.9");
  t.same((await client.dig("out.example")).addresses, ["192.0.2.9"], "the outside world is, too");

  await upstream.hijack("6.6.6.6");
  await upstream.clear();
  const own = found.addresses;
  const task = await host.exec(
    [
      "docker",
      "inspect",
      "--format={{range .NetworksAttachments}}{{.Addresses}}{{end}}",
      (await host.docker("service", "ps", "--quiet", "store")).split("\n")[0]!,
    ],
    { reject: false },
  );
  for (let turn = 0; turn < 10; turn++)
    for (const tcp of [false, true]) {
      t.same(
        (await client.dig("store", "A", { tcp })).addresses,
        own,
        "whatever an upstream claims, the service's name is the swarm's",
      );
      t.match(
        (await client.dig("tasks.store", "A", { tcp })).addresses,
        task.stdout.includes("10.") ? { length: 1, 0: /^10\./ } : { length: 0 },
      );
      t.match(await client.dig("store", "AAAA", { tcp }), { rcode: "NOERROR", answers: { length: 0 } });
    }
  t.same(
    (await upstream.queries()).filter(({ name }) => name.includes("store")),
    [],
    "and none of its names leaks",
  );
  t.same((await client.dig("any.example")).addresses, ["6.6.6.6"]);
  t.equal((await upstream.queries()).length, 1, "a name of the outside world takes one packet");
  await upstream.hijack(undefined);
  await upstream.silence(true);
  t.match(
    await client.dig("store", "AAAA"),
    { rcode: "NOERROR", answers: { length: 0 } },
    "also while the upstream is silent",
  );
  await upstream.silence(false);

  const status = (await pontoon.cli("status")).stdout;
  t.match(status, /wide\s+overlay\s+\d+\s+shared with other hosts/);
  t.match(status, /vault .*docker.*on internal networks only, one of them shared with other hosts/);
  t.equal((await vault.dig("vault")).answers[0]?.ttl, 600, "one on internal shared networks only is left to Docker");
  await pontoon.stop();
});
