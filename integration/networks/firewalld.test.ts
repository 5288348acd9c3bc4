// With a real firewalld: it refuses what comes to the host by links that are in no zone of its own.
import { existsSync } from "node:fs";
import t from "tap";
import { BareHost, until, type Pontoon } from "../lab/index.js";
import { inside, reaches, run, startShell } from "./host.js";

const firewalld = existsSync("/usr/sbin/firewalld");
const skip =
  !firewalld && "firewalld is not installed, and no test installs a firewall on a machine whose services start";

/** A host with a bus and firewalld, whose outside is in the zone `public`. */
class FirewalldHost {
  private constructor(
    readonly host: BareHost,
    private server: number,
  ) {}

  static async start(host: BareHost): Promise<FirewalldHost> {
    await host.exec(["sh", "-ec", "mkdir -p /run/dbus; exec dbus-daemon --system --fork"]);
    const made = new FirewalldHost(host, await startShell(host, "exec firewalld --nofork --nopid"));
    await made.#untilRunning();
    return made;
  }

  async #untilRunning(): Promise<void> {
    await until(async () => (await this.host.exec(["firewall-cmd", "--state"], { reject: false })).exitCode === 0, {
      what: "firewalld runs",
      timeoutMs: 20_000,
    });
    await this.ask("--zone=public", "--change-interface=outside");
  }

  /** Ends it, and starts another, which knows nothing of what was asked of this one. */
  async restart(): Promise<void> {
    await this.host.signal("SIGTERM", this.server);
    await until(async () => (await this.host.exec(["firewall-cmd", "--state"], { reject: false })).exitCode !== 0);
    this.server = await startShell(this.host, "exec firewalld --nofork --nopid");
    await this.#untilRunning();
  }

  async ask(...args: string[]): Promise<string> {
    return (await this.host.exec(["firewall-cmd", ...args])).stdout.trim();
  }

  /** What bridges of pontoon's are in a zone. */
  async bridgesIn(zone: string): Promise<string[]> {
    return (await this.ask(`--zone=${zone}`, "--list-interfaces")).split(" ").filter(Boolean);
  }
}

/** What a web server on the host says to a sandbox; undefined when it cannot be asked. */
async function hostAnswers(pontoon: Pontoon, sandbox: string, url: string): Promise<boolean> {
  return (await inside(pontoon, sandbox, `curl -s -m 2 -o /dev/null ${url}`)).exitCode === 0;
}

t.test("containers reach the host, as Docker's do, and nobody else does", { skip }, async (t) => {
  const host = await BareHost.start(t);
  const outside = await host.outside();
  const fire = await FirewalldHost.start(host);
  await startShell(host, "exec busybox httpd -f -p 9900 -h /etc");
  const pontoon = await host.pontoon();
  await run(pontoon, "network create front");
  await run(pontoon, "sandbox create web --network front");
  await run(pontoon, "sandbox create client --network front");
  await startShell(host, "exec nsenter --net=/run/netns/web busybox httpd -f -p 80 -h /etc");
  await run(pontoon, "publish web 8080:80");
  const works = async (what: string) => {
    await until(() => hostAnswers(pontoon, "client", `http://${outside.hostAddress}:9900/hostname`), {
      what: `${what}: a service of the host`,
    });
    await until(() => hostAnswers(pontoon, "client", `http://${outside.hostAddress}:8080/hostname`), {
      what: `${what}: a published port`,
    });
    await until(() => reaches(pontoon, "client", outside.address), { what: `${what}: the outside` });
    await until(() => reaches(pontoon, "client", "web"), { what: `${what}: a neighbour` });
    const asked = (port: number) =>
      outside.exec(["curl", "-s", "-m", "2", `http://${outside.hostAddress}:${port}/hostname`], { reject: false });
    t.equal((await asked(8080)).exitCode, 0, `${what}: the outside has the published port`);
    t.not((await asked(9900)).exitCode, 0, `${what}: and no other`);
  };
  await works("at first");
  t.equal((await fire.bridgesIn("trusted")).length, 1);
  await fire.ask("--reload");
  await works("after a reload");
  await fire.restart();
  await works("after a restart");

  await run(pontoon, "network create other");
  await until(async () => (await fire.bridgesIn("trusted")).length === 2, { what: "a network comes" });
  await run(pontoon, "network rm other");
  await until(async () => (await fire.bridgesIn("trusted")).length === 1, { what: "a network goes" });
  await pontoon.kill();
  const next = await host.pontoon();
  await run(next, "sandbox rm web");
  await run(next, "sandbox rm client");
  await run(next, "network rm front");
  await until(async () => (await fire.bridgesIn("trusted")).length === 0, { what: "nothing is left" });
  t.equal(await next.stop(), 0);
});

t.test("what the host's owner says of zones counts", { skip }, async (t) => {
  const host = await BareHost.start(t);
  await host.outside();
  const fire = await FirewalldHost.start(host);
  await fire.ask("--zone=internal", "--add-interface=br-front");
  const pontoon = await host.pontoon();
  await run(pontoon, "network create front --bridge-name br-front");
  await run(pontoon, "network create back --bridge-name br-back");
  await until(async () => (await fire.bridgesIn("trusted")).length === 1, { what: "one that is in no zone" });
  t.same(await fire.bridgesIn("trusted"), ["br-back"]);
  t.same(await fire.bridgesIn("internal"), ["br-front"], "one that was in a zone stays there");
  await run(pontoon, "network rm front");
  await run(pontoon, "network rm back");
  await until(async () => (await fire.bridgesIn("trusted")).length === 0, { what: "nothing is left" });
  t.same(await fire.bridgesIn("internal"), ["br-front"], "of ours");
  t.equal(await pontoon.stop(), 0);

  const none = await host.pontoon({ config: "docker: none\nnetwork:\n  firewalld-zone: none\n" });
  await run(none, "network create front");
  await run(none, "sandbox create client --network front");
  t.same(await fire.bridgesIn("trusted"), []);
  t.equal(await none.stop(), 0);

  const wrong = await host.pontoon({ config: "docker: none\nnetwork:\n  firewalld-zone: nowhere\n" });
  await until(async () => /INVALID_ZONE/.test((await wrong.cli("status")).stdout), {
    what: "a zone that is not there is told",
  });
  t.ok(await reaches(wrong, "client", "10.77.0.2"), "and everything else works");
  t.equal(await wrong.stop(), 0);
});
