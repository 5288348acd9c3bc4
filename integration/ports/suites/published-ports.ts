// What users of `docker run --publish` may expect with pontoon's docker-proxy, whichever traffic goes through it.
import { readFileSync } from "node:fs";
import type { Test } from "tap";
import { until } from "../../lab/index.js";
import { dockers, PublishedHost, rowsOf, serves, shim, type Mode } from "./published-host.js";

/** The tests of one mode. */
export function testPublishedPorts(t: Test, mode: Mode): void {
  t.test(`published ports with ${mode.name}`, async (t) => {
    const published = await PublishedHost.start(t, mode);
    const { host, visitor } = published;
    const { ip, portsEach } = mode;
    const pontoon = await published.pontoon();
    const web = await published.echo("web", ["8080:80"]);

    await t.test("answer, and are told by pontoon port", async (t) => {
      const rows = await serves(pontoon, portsEach);
      await published.proxiesAre(portsEach, shim);
      const address = (await web.inspect()).NetworkSettings.Networks["bridge"]!.IPAddress;
      await published.answers();
      const own = {
        container: "web",
        containerPort: 80,
        transport: "tcp",
        hostPort: 8080,
        by: "pontoon",
        source: "docker",
        state: "open",
        target: `${address}:80`,
      };
      t.match(
        rows,
        mode.fromOutside
          ? { length: 1, 0: { ...own, ip } }
          : { length: 2, 0: { ...own, ip: "0.0.0.0" }, 1: { ...own, ip: "::" } },
      );
      const { accepted, bytesToContainer, bytesToClients } = (await rowsOf(pontoon, "web")).find(
        (row) => row.ip === (mode.fromOutside ? ip : "0.0.0.0"),
      )!;
      t.ok(accepted! > 0 && bytesToContainer! >= 5 && bytesToClients! >= 5, "what went through is counted");
      if (mode.fromOutside)
        t.match(
          await host
            .visitor()
            .talk({ ip: "127.0.0.1", port: 8080 }, "x")
            .catch((error: Error) => error.message),
          /ECONNREFUSED/,
          "no other address is published",
        );
      else t.equal(await visitor.talk({ ip: "::1", port: 8080 }, "six"), "six", "IPv6, before an IPv4-only container");
    });

    await t.test("and from a container, by the host's address", async (t) => {
      const address = mode.fromOutside ? ip : "172.17.0.1";
      t.equal((await web.exec(["sh", "-c", `echo inside | nc -w 10 ${address} 8080`])).stdout, "inside\n");
    });

    await t.test("loopback addresses of both families are published for the host alone", async (t) => {
      const own = await published.echo("own", ["127.0.0.1:8081:80", "[::1]:8081:80"]);
      const client = host.visitor();
      for (const ip of ["127.0.0.1", "::1"])
        await until(async () => (await client.talk({ ip, port: 8081 }, "own")) === "own", {
          what: `${ip} answers`,
          timeoutMs: 20_000,
        });
      if (mode.fromOutside) t.match(await published.refusal({ ip, port: 8081 }), /ECONNREFUSED/);
      await own.remove();
    });

    await t.test("UDP", async (t) => {
      const name = await published.echo("name", [`${ip}:5353:53/udp`, "[::1]:5353:53/udp"], ["udp:53"]);
      await published.answers({ protocol: "udp", ip, port: 5353 });
      await until(
        async () => (await host.visitor().talk({ protocol: "udp", ip: "::1", port: 5353 }, "six")) === "six",
        { what: "::1 answers", timeoutMs: 20_000 },
      );
      const visit = await visitor.stay({ protocol: "udp", ip, port: 5353 });
      const large = "x".repeat(9000);
      t.equal(await visit.say(large), large, "large datagrams too");
      await name.restart();
      t.equal(await visit.say("after a restart"), "after a restart", "the same client goes on");
      await visit.end();
      t.match(await rowsOf(pontoon, "name"), {
        length: 2,
        0: { transport: "udp", by: "pontoon", accepted: Number },
        1: { ip: "::1" },
      });
      await name.remove();
    });

    await t.test("a container restarts, and others take its port", async (t) => {
      await web.restart();
      await published.answers();
      for (let round = 0; round < 5; round++) {
        await host.docker("rm", "--force", "web");
        t.match(await published.refusal(), /ECONNREFUSED/);
        await published.echo("web", ["8080:80"]);
      }
      await published.answers();
      await serves(pontoon, portsEach);
    });

    await t.test("a range", async (t) => {
      const range = await published.echo("range", ["20000-20049:20000-20049"], ["tcp:20000-20049"]);
      await serves(pontoon, 51 * portsEach);
      for (const port of [20_000, 20_025, 20_049]) await published.answers({ ip, port });
      await range.remove();
      t.equal(published.proxies.length, portsEach, "all end with it");
      await serves(pontoon, portsEach);
    });

    await t.test("a port that is taken, and by whom", async (t) => {
      const refusal = (name: string, publish: string) =>
        published.echo(name, [publish]).then(
          () => "it started",
          (error: Error) => error.message.replaceAll(/\\n|\n/g, " "),
        );
      const script = `require("net").createServer().listen(9090, "${ip}", () => require("fs").writeFileSync("/run/squatter", String(process.pid)))`;
      const squatter = host.exec([process.execPath, "--eval", script], { reject: false });
      const pid = await until(() => Number(readFileSync(host.path("/run/squatter"), "utf8")), {
        what: "somebody holds port 9090",
      });
      // Docker 28 and later find out by themselves, before they start our docker-proxy.
      const says = (port: number, holder: string) =>
        host.bindsPorts
          ? new RegExp(`failed to bind host port .*${port}.*address already in use`)
          : new RegExp(`listen tcp4 ${ip}:${port}: bind: address already in use \\(held by ${holder}\\)`);
      t.match(await refusal("late", `${ip}:9090:80`), says(9090, `node, pid ${pid}`));
      if (host.bindsPorts) {
        const told = new RegExp(
          `tcp port ${ip}:9090 is taken \\(held by node, pid ${pid}\\); free it, and start the container again`,
        );
        await until(
          () => pontoon.logs.some((line) => line.includes("dockerd could not publish a port") && told.test(line)),
          { what: "the log tells who has it" },
        );
        t.match((await pontoon.cli("port", "late")).stderr, told, "and so does pontoon port");
      }
      await host.signal("SIGKILL", pid);
      await squatter;
      await host.docker("start", "late");
      await published.answers({ ip, port: 9090 });
      t.match(
        (await pontoon.cli("publish", "late", `${ip}:9090:81`)).stderr,
        /9090.*late/s,
        "pontoon publish names the container that has it",
      );
      await host.docker("rm", "--force", "late");
      t.equal((await pontoon.cli("publish", "web", `${ip}:9091:80`)).stderr, "");
      t.match(
        await refusal("later", `${ip}:9091:80`),
        host.bindsPorts
          ? says(9091, "")
          : new RegExp(
              `${says(9091, "pontoon-proxy, pid \\d+").source}: .pontoon publish. opened it for web \\(80/tcp\\); .pontoon unpublish web 80/tcp. frees it`,
            ),
        "and docker run that pontoon has it, and for whom",
      );
      if (host.bindsPorts) {
        const told = new RegExp(
          `tcp port ${ip}:9091 is taken .*opened for web \\(80/tcp\\) by .pontoon publish.; free it`,
        );
        await until(() => pontoon.logs.some((line) => told.test(line)), { what: "the log tells for whom" });
      }
      t.equal((await pontoon.cli("unpublish", "web")).stderr, "");
      await host.docker("start", "later");
      await published.answers({ ip, port: 9091 });
      await host.docker("rm", "--force", "later");
      await serves(pontoon, portsEach);
    });

    await t.test("SCTP is left to Docker's own docker-proxy", async (t) => {
      const said = await published.echo("sctp", [`${ip}:9:9/sctp`]).then(
        () => "",
        (error: Error) => error.message,
      );
      if (said === "") t.same(published.proxies.filter((each) => each.endsWith(`/${dockers}`)).length, 1);
      else
        t.match(
          said,
          /protocol not supported|error starting userland proxy/,
          "whose own words say what this kernel has not",
        );
      await host.docker("rm", "--force", "sctp");
    });

    await t.test("nothing is left when the containers are gone", async (t) => {
      await host.docker("rm", "--force", "web");
      await until(() => published.proxies.length === 0, { what: "all shims have ended" });
      t.same(await rowsOf(pontoon), []);
      t.match(await published.refusal(), /ECONNREFUSED/);
      t.equal(await pontoon.stop(), 0);
      t.same(published.pontoonProxies, [], "without a port to serve pontoon-proxy ends with the daemon");
    });
  });
}
