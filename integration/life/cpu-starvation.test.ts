import { cpus } from "node:os";
import t from "tap";
import { DockerHost, type Container, type Pontoon } from "../lab/index.js";

/** TTL of pontoon's own records; Docker's is 600. */
const ownTtl = 5;
const starvedFor = 20; // seconds; ten heartbeats

interface Setting {
  readonly host: DockerHost;
  readonly web: Container;
  /** Asks nothing, so that heartbeats alone renew its takeover. */
  readonly quiet: Container;
  readonly pontoon: Pontoon;
  readonly pid: number;
}

async function setUp(t: Parameters<typeof DockerHost.start>[0]): Promise<Setting> {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const [web, quiet] = [
    await host.container({ name: "web", networks: ["n1"] }),
    await host.container({ name: "quiet", networks: ["n1"] }),
  ];
  const pontoon = await host.pontoon();
  await pontoon.answersIn(web, quiet);
  return { host, web, quiet, pontoon, pid: await serverPid(pontoon) };
}

async function serverPid(pontoon: Pontoon): Promise<number> {
  return ((await pontoon.status()) as { dns: { pid: number } }).dns.pid;
}

/** Seconds until the takeover of the container that asks nothing would lapse; undefined when it has. */
async function lapsesIn({ host, quiet }: Setting): Promise<number | undefined> {
  const { stdout } = await host.exec(["nft", "list", "set", "ip", "pontoon", "armed"], { netns: quiet });
  const left = /expires (?:(\d+)s)?(?:(\d+)ms)?/.exec(stdout);
  return left ? Number(left[1] ?? 0) + Number(left[2] ?? 0) / 1000 : undefined;
}

/** Lines the daemon logged as warnings or worse, as pino numbers them. */
function warnings({ pontoon }: Setting): string[] {
  return pontoon.logs.filter((line) => (JSON.parse(line) as { level: number }).level >= 40);
}

/** Whether every core is wanted by four programs more, while `during` runs again and again. */
async function starve(host: DockerHost, during: () => Promise<void>): Promise<void> {
  const burner = `timeout ${starvedFor} sh -c 'while :; do :; done' &`;
  let isOver = false;
  const burning = host
    .exec(["sh", "-c", `${burner.repeat(4 * cpus().length)} wait`], { timeoutMs: 120_000 })
    .finally(() => (isOver = true));
  while (!isOver) await during();
  await burning;
}

t.test(
  "while other programs want every core, pontoon goes on answering, and nothing is replaced or repaired",
  async (t) => {
    const setting = await setUp(t);
    const { host, web, pontoon, pid } = setting;
    const seen: (number | undefined)[] = [];
    const ttls = new Set<number | undefined>();
    await starve(host, async () => {
      seen.push(await lapsesIn(setting));
      ttls.add((await web.dig("web", "A", { timeoutMs: 10_000 })).answers[0]?.ttl);
    });
    t.comment(
      `looked ${seen.length} times; at worst the takeover had ${Math.min(...seen.map((left) => left ?? 0))} s left`,
    );
    t.ok(seen.length > 10, `looked ${seen.length} times`);
    t.notOk(seen.includes(undefined), "the takeover never lapsed");
    t.same([...ttls], [ownTtl], "pontoon alone has answered");
    t.equal(await serverPid(pontoon), pid, "the server is the same");
    t.same(warnings(setting), []);
    await pontoon.stop();
  },
);
