import t from "tap";
import { DockerHost, until } from "../lab/index.js";

interface Seen {
  readonly dns: { readonly pid: number; readonly state: string; readonly detail: string };
  readonly ports: { readonly pid: number; readonly state: string; readonly detail: string };
  readonly containers: readonly { readonly name: string; readonly resolver: string }[];
}

for (const [name, options] of [
  ["--observe", { args: ["--observe"] }],
  ["no role", { config: "dns:\n  enabled: false\nports:\n  enabled: false\n" }],
] as const)
  t.test(
    `a daemon with ${name} after kill -9: the orphans are told, go on, and are left to the next daemon`,
    async (t) => {
      const host = await DockerHost.start(t);
      await host.network("n1");
      const web = await host.container({ name: "web", networks: ["n1"] });
      const ttl = async () => (await web.dig("web")).answers[0]?.ttl;
      const first = await host.pontoon({ config: "dns:\n  ttl: 5\n" });
      await first.answersIn(web);
      t.equal((await first.cli("publish", "web", "127.0.0.1:8080:80")).exitCode, 0);
      const servers = (await first.status()) as unknown as Seen;
      await first.kill();

      const second = await host.pontoon({ ...options, args: [...("args" in options ? options.args : [])] });
      const seen = (await second.waitUntil((status) =>
        (status as unknown as Seen).containers.some(({ resolver }) => resolver === "pontoon"),
      )) as unknown as Seen;
      t.match(seen.dns.detail, `pid ${servers.dns.pid}, still answers in one container`);
      t.match(seen.ports.detail, `pid ${servers.ports.pid}, still serves`);
      const text = (await second.cli("status")).stdout;
      t.match(
        text,
        new RegExp(
          `^pontoon-dns +(observing|off) \\(the pontoon-dns of an earlier daemon, pid ${servers.dns.pid}`,
          "m",
        ),
      );
      t.match(text, /^web .* pontoon .*by a pontoon-dns that this daemon does not steer/m);
      t.ok(second.logs.some((line) => line.includes("a pontoon-dns of an earlier daemon goes on answering")));
      if (name === "--observe")
        t.match(
          (await second.cli("check")).stdout,
          new RegExp(
            `pontoon-dns \\(pid ${servers.dns.pid}\\) goes on without a daemon.*start a daemon without --observe`,
          ),
        );
      t.equal(await ttl(), 5, "it does still answer");
      t.equal(await second.stop(), 0);

      const third = await host.pontoon({ config: "dns:\n  ttl: 5\n" });
      t.match(await third.status(), {
        dns: { pid: servers.dns.pid, detail: "adopted" },
        ports: { pid: servers.ports.pid, detail: "adopted" },
      });
      await until(async () => (await third.cli("port", "web")).stdout.includes("8080"), {
        what: "what was published is",
      });
      await third.stop();
      t.equal(await ttl(), 600);
    },
  );
