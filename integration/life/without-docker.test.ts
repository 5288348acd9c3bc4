import { readdirSync } from "node:fs";
import t from "tap";
import { BareHost, until } from "../lab/index.js";

t.test("on a host without Docker the daemon is ready at once, answers every command, and leaves nothing", async (t) => {
  const host = await BareHost.start(t);
  const before = (await host.exec(["nft", "list", "ruleset"])).stdout;
  const pontoon = await host.pontoon({ args: ["--log-level=info"], config: "dns:\n  ttl: 5\n" });
  const status = await pontoon.status();
  t.match(status, {
    ready: true,
    docker: { host: "none", state: "none" },
    dns: { state: "running" },
    ports: { state: "running" },
  });
  t.same([status["networks"], status["containers"]], [[], []]);
  for (const [args, said] of [
    [["status"], /^docker +without Docker$/m],
    [["dns", "records"], /^/],
    [["port"], /^$/],
    [["check"], /none is followed/],
  ] as const) {
    const { exitCode, stdout, stderr } = await pontoon.cli(...args);
    t.equal(exitCode, 0, `${args.join(" ")}: ${stdout}${stderr}`);
    t.match(stdout, said);
  }
  t.match(await pontoon.cli("publish", "web", "8080:80"), {
    exitCode: 1,
    stderr: /no container or sandbox is called web/,
  });
  host.writeFile("/etc/pontoon/pontoon.yaml", "dns:\n  ttl: 9\n");
  await host.signal("SIGHUP", pontoon.pid);
  await until(() => pontoon.logs.some((line) => line.includes('"applied":["dns.ttl"]')), { what: "it was read again" });
  t.notOk(
    pontoon.logs.some((line) => /docker.sock|waiting for/.test(line)),
    "DOCKER_HOST does not count",
  );
  t.equal(await pontoon.stop("SIGINT"), 0);
  t.same(pontoon.processes(), []);
  t.same(readdirSync(host.path("/run/pontoon")), []);
  t.equal((await host.exec(["nft", "list", "ruleset"])).stdout, before);
});

t.test("the configuration may say it as well", async (t) => {
  const host = await BareHost.start(t);
  const pontoon = await host.pontoon({ config: "docker: none\nobserve: true\n" });
  t.match(await pontoon.status(), { ready: true, docker: { state: "none" }, dns: { state: "observing" } });
  t.equal(await pontoon.stop(), 0);
});
