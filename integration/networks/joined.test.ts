import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import t from "tap";
import { BareHost, until, type Pontoon } from "../lab/index.js";
import { inside, run } from "./host.js";

// A sandbox that shares the network stack of another one, as `docker run --network container:NAME` has it.

const printed = async (pontoon: Pontoon, sandbox: string, line: string) =>
  (await inside(pontoon, sandbox, line)).stdout.trim();

/** Why a command was refused. */
const refusal = async (pontoon: Pontoon, line: string) => {
  const { exitCode, stderr } = await pontoon.cli(...line.split(" "));
  return exitCode === 0 ? "it was not refused" : stderr.trim();
};

t.test("a sandbox that joins another has its network, and its own hostname", async (t) => {
  const host = await BareHost.start(t);
  let pontoon = await host.pontoon();
  await run(pontoon, "network create front");
  await run(pontoon, "network create back");
  await run(pontoon, "sandbox create web --network front --network back");
  await run(pontoon, "sandbox create side --join web");
  await run(pontoon, "sandbox create third --join side");
  let waysOut = 2;
  const netOf = (name: string) => printed(pontoon, name, "readlink /proc/self/ns/net");
  const check = async (when: string) => {
    const rules = (await printed(pontoon, "side", "ip rule")).match(/^10000:/gm) ?? [];
    t.equal(rules.length, waysOut === 1 ? 0 : waysOut, `${when}: replies leave by the network they were asked on`);
    t.equal(await netOf("side"), await netOf("web"), when);
    t.equal(await netOf("third"), await netOf("web"), when);
    t.equal(await printed(pontoon, "side", "hostname"), "side", when);
    t.match(await printed(pontoon, "side", "cat /etc/hosts"), /^172\.17\.0\.2\tside$/m, when);
    t.match(await printed(pontoon, "side", "getent hosts web"), /^172\.1[78]\.0\.2\s/, when);
    t.match((await host.exec(["ip", "netns", "list"])).stdout, /^side\b/m, when);
  };
  await check("when it is made");
  t.match(await run(pontoon, "sandbox ls"), /side +up +shared with web/);
  await run(pontoon, "publish side 8080:80");
  t.match(await run(pontoon, "port side"), /80\/tcp -> 0\.0\.0\.0:8080/);

  await pontoon.kill();
  pontoon = await host.pontoon();
  await check("after a restart of the daemon");

  await host.exec(["ip", "netns", "delete", "web"]);
  await until(async () => (await run(pontoon, "sandbox ls")).match(/ gone /g)?.length === 3, { what: "it has gone" });
  await pontoon.stop();
  pontoon = await host.pontoon();
  await until(async () => (await run(pontoon, "sandbox ls")).match(/ up /g)?.length === 3, { what: "it is back" });
  await check("when its namespace was made anew");

  await run(pontoon, "network disconnect back web");
  waysOut = 1;
  t.notMatch(await printed(pontoon, "side", "cat /etc/hosts"), "172.18.0.2");

  for (const [line, code, words] of [
    ["network connect back side", "SANDBOX_JOINED", "sandbox side shares the network of sandbox web"],
    ["network disconnect front side", "SANDBOX_JOINED", "sandbox side shares the network of sandbox web"],
    ["sandbox rm web", "SANDBOX_SHARED", "since sandbox side shares its network"],
    ["sandbox create other --join nobody", "SANDBOX_UNKNOWN", "nobody"],
    ["sandbox create other --join web --network back", "OPTION_CONFLICT", "shares the network of sandbox web"],
    ["sandbox create other --join web --ip 172.17.0.9", "OPTION_CONFLICT", "shares the network of sandbox web"],
    ["sandbox create other --join web --link web:w", "OPTION_CONFLICT", "shares the network of sandbox web"],
    ["sandbox create other --join web --dns 192.0.2.1", "OPTION_CONFLICT", "shares the network of sandbox web"],
    ["sandbox create other --join web --expose 80", "OPTION_CONFLICT", "shares the network of sandbox web"],
  ] as const) {
    const said = await refusal(pontoon, line);
    t.ok(said.includes(code) || said.includes(words), `${line}: ${said}`);
    t.ok(said.includes(words), `${line}: ${said}`);
  }
  await check("after all that");
  for (const name of ["side", "third"]) {
    await run(pontoon, `sandbox rm ${name}`);
    t.notOk(existsSync(host.path(`/etc/netns/${name}`)), name);
  }
  t.match(await printed(pontoon, "web", "ip address"), "172.17.0.2/16", "what the others leave is as it was");
  await run(pontoon, "sandbox rm web");
  t.equal(await pontoon.stop(), 0);
});

t.test("files that somebody has for a namespace stay as they are", async (t) => {
  const host = await BareHost.start(t);
  const pontoon = await host.pontoon();
  const file = host.path("/etc/netns/mine/resolv.conf");
  await mkdir(host.path("/etc/netns/mine"), { recursive: true });
  await writeFile(file, "nameserver 192.0.2.53\n");
  t.match(
    await refusal(pontoon, "sandbox create mine --network none"),
    "/etc/netns/mine has files that are not pontoon's",
  );
  t.notOk(existsSync(host.path("/run/netns/mine")));
  await host.exec(["ip", "netns", "add", "mine"]);
  await run(pontoon, "sandbox adopt mine --netns /run/netns/mine");
  t.match(await printed(pontoon, "mine", "ip address"), "172.17.0.2/16");
  await run(pontoon, "sandbox rm mine");
  t.equal(await readFile(file, "utf8"), "nameserver 192.0.2.53\n");
  t.notOk(existsSync(host.path("/etc/netns/mine/hosts")));
  t.equal(await pontoon.stop(), 0);
});
