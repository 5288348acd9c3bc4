import { randomInt } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import t from "tap";
import { DockerHost, until, type Container } from "../lab/index.js";
import type { HostileReport, HostileRequest } from "../lab/hostile-child.js";
import { helperProgram } from "../lab/root.js";

/** Messages in all; the first of them warm the process up: Node compiles, pools and caches fill. */
const messages = 1_000_000;
const warmUp = 200_000;
const overTcp = 50_000;
/** Descriptors pontoon may open to forward from one sandbox: 64 UDP and 16 TCP. */
const forwardingSockets = 80;
/**
 * What the process may grow by over the last 800,000 messages, bytes: a leak of 80 bytes a message shows. Replies that
 * are kept ready may take 16 MB more, and what Node's collector has not yet come to comes and goes by as much.
 */
const growth = 64 * 1024 * 1024;

/** TCP connections of one container. */
const connectionsAtMost = 128;

const goodUpstream = "10.77.0.2";
const hostileUpstream = "10.77.0.9";

t.test("a million spoilt messages, and an upstream that spoils its replies", async (t) => {
  const seed = randomInt(2 ** 31);
  t.comment(`seed ${seed}`);
  const host = await DockerHost.start(t);
  const outside = await host.outside();
  const upstream = await outside.dns();
  await upstream.answer("out.example", "A", "192.0.2.7");
  await outside.addAddress(hostileUpstream);
  const upstreamEnds = outside
    .exec([process.execPath, helperProgram("hostile-upstream-child.js"), hostileUpstream, String(seed)], {
      reject: false,
      timeoutMs: 300_000,
    })
    .catch(() => undefined);
  await host.network("front");
  const options = [`--dns=${hostileUpstream}`, "--dns-search=corp.example", "--dns-search=example"];
  const prey = await host.container({ name: "prey", networks: ["front"], options });
  const neighbour = await host.container({
    name: "neighbour",
    networks: ["front"],
    options: [`--dns=${goodUpstream}`],
  });
  // Kept answers are bounded, so what is left to grow is what should not.
  const pontoon = await host.pontoon({ config: "dns:\n  cache-size: 1\n" });
  await pontoon.answersIn(prey, neighbour);
  const { dns } = (await pontoon.status()) as { dns: { pid: number } };
  const goodAddress = await neighbour.ip("front");
  const attack = async (part: Pick<HostileRequest, "transport" | "from" | "count">): Promise<HostileReport> => {
    const request: HostileRequest = {
      ...part,
      server: "127.0.0.11",
      port: 53,
      seed,
      goodName: "neighbour",
      goodAddress,
    };
    const began = performance.now();
    const { stdout } = await host.exec([process.execPath, helperProgram("hostile-child.js"), JSON.stringify(request)], {
      netns: prey,
      timeoutMs: 200_000,
    });
    t.comment(`${part.count} messages over ${part.transport} in ${((performance.now() - began) / 1000).toFixed(1)} s`);
    return JSON.parse(stdout) as HostileReport;
  };
  const descriptors = () => readdirSync(host.path(`/proc/${dns.pid}/fd`)).length;
  const resident = () =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(host.path(`/proc/${dns.pid}/status`), "utf8"))![1]) * 1024;
  const judge = (what: string, report: HostileReport) => {
    const { sent, replies, good, retries, unanswered, faults } = report;
    t.comment(`${what}: ${sent} sent, ${replies} replies, ${good} good queries, ${retries} asked again`);
    t.same(faults, [], `${what}: every reply is right`);
    t.equal(unanswered, 0, `${what}: every good query is answered`);
    t.ok(good > sent / 100 && sent > 0);
  };

  const descriptorsBefore = descriptors();
  judge("warm-up", await attack({ transport: "udp", from: 0, count: warmUp }));
  const warm = resident();

  const neighbours = (await neighbour.probe()).digSteadily("out.example", { everyMs: 20, timeoutMs: 3000 });
  judge("UDP", await attack({ transport: "udp", from: warmUp, count: messages - warmUp - overTcp }));
  judge("TCP", await attack({ transport: "tcp", from: messages - overTcp, count: overTcp }));
  const { sent, rcodes, errors } = await neighbours();
  t.same(rcodes, { NOERROR: sent }, `the neighbour's ${sent} questions are all answered, each the first time`);
  t.same(errors, []);

  const grown = () => resident() - warm;
  await until(() => grown() < growth, { timeoutMs: 10_000, what: "memory is what it was" }).catch(() => undefined);
  t.ok(
    grown() < growth,
    `${Math.round(warm / 2 ** 20)} MB resident after the warm-up, ${Math.round(grown() / 2 ** 20)} MB more at the end`,
  );
  await until(() => descriptors() <= descriptorsBefore + forwardingSockets, {
    timeoutMs: 15_000,
    what: "descriptors are what they were",
  }).catch(() => undefined);
  t.ok(
    descriptors() <= descriptorsBefore + forwardingSockets,
    `${descriptorsBefore} descriptors before, ${descriptors()} now`,
  );
  t.equal(((await pontoon.status()) as { dns: { pid: number } }).dns.pid, dns.pid, "it is the same process");

  t.same(
    (await prey.dig("web.true", "A", { timeoutMs: 8000 })).addresses,
    ["192.0.2.1"],
    "an upstream is believed about the name asked for",
  );
  t.same(
    (await prey.dig("bank.true", "A", { timeoutMs: 8000 })).addresses,
    ["192.0.2.1"],
    "and not about one that was not",
  );
  await pontoon.stop();
  void upstreamEnds;
});

t.test("connections that are held, half sent or never read harm nobody else, and do not last", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("front");
  const [loud, quiet] = [
    await host.container({ name: "loud", networks: ["front"] }),
    await host.container({ name: "quiet", networks: ["front"] }),
  ];
  const pontoon = await host.pontoon();
  await pontoon.answersIn(loud, quiet);
  const { dns } = (await pontoon.status()) as { dns: { pid: number } };
  const descriptors = () => readdirSync(host.path(`/proc/${dns.pid}/fd`)).length;
  const before = descriptors();
  const holding = host.exec([process.execPath, helperProgram("holding-child.js")], { netns: loud, timeoutMs: 60_000 });
  await until(() => descriptors() >= before + connectionsAtMost, {
    timeoutMs: 10_000,
    what: "all connections are held that may be",
  });

  const ask = async (container: Container, times: number) => {
    for (let turn = 0; turn < times; turn++)
      for (const tcp of [false, true])
        t.equal(
          (await container.dig("quiet", "A", { tcp, timeoutMs: 4000 })).rcode,
          "NOERROR",
          `${container === loud ? "their own container" : "another"}, over ${tcp ? "TCP" : "UDP"}`,
        );
  };
  await ask(quiet, 20);
  await ask(loud, 20);
  t.ok(descriptors() <= before + connectionsAtMost + 2, `${before} descriptors before, ${descriptors()} now`);
  await until(() => descriptors() <= before, {
    timeoutMs: 25_000,
    what: "what says nothing whole for ten seconds is closed",
  });
  t.equal((await holding).stdout, "all closed\n");
  t.equal(((await pontoon.status()) as { dns: { pid: number } }).dns.pid, dns.pid, "it is the same process");
  await pontoon.stop();
});
