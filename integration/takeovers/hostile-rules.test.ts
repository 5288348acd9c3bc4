// Containers that may change their own firewall rules make them hard to look at. That is their loss, and nobody else's.
import { existsSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { DockerHost, until, type Container, type Pontoon } from "../lab/index.js";
import type { Hardship } from "../lab/rules-child.js";
import { helperProgram, repositoryRoot } from "../lab/root.js";

interface Seen {
  readonly containers: readonly { name: string; resolver: string; code?: string }[];
  readonly loopDelay: { readonly max: number };
}

const seen = async (pontoon: Pontoon) => (await pontoon.status()) as unknown as Seen;
const watched = { env: { PONTOON_WATCH_LOOP: "1" } };

const pontoonCommand = [process.execPath, join(repositoryRoot, "bin", "pontoon")];

/** Has a container make it hard. @returns ends that */
async function makeHard(host: DockerHost, netns: Container, hardship: Hardship): Promise<() => Promise<void>> {
  const pid = await host.startProgram([process.execPath, helperProgram("rules-child.js"), hardship], { netns });
  return async () => {
    await host.signal("SIGKILL", pid);
    await until(() => !existsSync(host.path(`/proc/${pid}`)), { what: `${hardship} has ended`, timeoutMs: 60_000 });
  };
}

t.test("whatever rules containers make, the daemon starts, answers, takes over others, and ends", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const hardships: Hardship[] = ["newer map", "churn", "many rules", "comments", "replaced"];
  const hard = new Map<Hardship, Container>();
  for (const hardship of hardships)
    hard.set(hardship, await host.container({ name: hardship.replace(" ", "-"), networks: ["n1"] }));
  const ends = [];
  for (const [hardship, container] of hard) ends.push(await makeHard(host, container, hardship));
  const web = await host.container({ name: "web", networks: ["n1"] });

  const pontoon = await host.pontoon({ ...watched, readyMs: 40_000 });
  await pontoon.answersIn(web);
  t.equal((await web.dig("web")).answers[0]?.ttl, 5, "others are answered by pontoon");
  const later = await host.container({ name: "later", networks: ["n1"] });
  await pontoon.answersIn(later);

  const codeOf = async (hardship: Hardship) =>
    (await seen(pontoon)).containers.find(({ name }) => name === hardship.replace(" ", "-"))?.code;
  t.equal(await codeOf("newer map"), undefined);
  t.equal(await codeOf("comments"), undefined);
  // Where the kernel is slow to let a table go, it is said to be busy first, and tried again.
  await until(async () => (await codeOf("many rules")) === "RULES_TOO_MANY", { what: "too many rules are told" });
  await until(async () => /^RULES_(TOO_MANY|CHANGING)$/.test((await codeOf("churn")) ?? ""), { what: "churn is told" });
  const { loopDelay } = await seen(pontoon);
  await pontoon.answersIn(hard.get("newer map")!, hard.get("comments")!);
  t.comment(`the event loop was held up for ${loopDelay.max.toFixed(1)} ms at most`);

  const check = await host.exec([...pontoonCommand, "check", "--json"], { reject: false, timeoutMs: 60_000 });
  const { findings } = JSON.parse(check.stdout) as { findings: { subject: string; text: string }[] };
  t.match(
    findings
      .filter(({ subject }) => subject === "containers")
      .map(({ text }) => text)
      .join("\n"),
    /many-rules/,
    "pontoon check ends, and tells",
  );

  await Promise.all(ends.map((end) => end()));
  t.equal(await pontoon.stop(), 0);
  t.notMatch(
    (await host.exec(["nft", "list", "tables"], { netns: later })).stdout,
    /pontoon/,
    "everything is given back",
  );
});

t.test("a namespace of an ordinary user's own is no place to keep pontoon check", async (t) => {
  const host = await DockerHost.start(t);
  // It may read every file, for the repository may be below a home that is closed to others, and no more.
  const asUser = [
    "setpriv",
    "--reuid=1000",
    "--regid=1000",
    "--clear-groups",
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
  ];
  await host.startProgram([
    ...asUser,
    "unshare",
    "--user",
    "--map-root-user",
    "--net",
    process.execPath,
    helperProgram("rules-child.js"),
    "churn",
  ]);
  const check = await host.exec([...pontoonCommand, "check"], { reject: false, timeoutMs: 60_000 });
  t.match(check.stdout, /leftovers/);
});

t.test("rules that stay locked are not waited for, and neither is the end", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const [first, second] = [
    await host.container({ name: "first", networks: ["n1"] }),
    await host.container({ name: "second", networks: ["n1"] }),
  ];
  const pontoon = await host.pontoon(watched);
  await pontoon.answersIn(first, second);
  const end = await makeHard(host, second, "locked");
  t.equal((await second.dig("first")).rcode, "NOERROR", "it is answered as before");
  const third = await host.container({ name: "third", networks: ["n1"] });
  await pontoon.answersIn(third);
  const { loopDelay } = await seen(pontoon);
  t.comment(`the event loop was held up for ${loopDelay.max.toFixed(1)} ms at most, while rules were locked`);
  const stopped = pontoon.stop();
  await until(() => pontoon.logs.some((line) => line.includes('"stopped"')), {
    what: "it has given back what it can",
    timeoutMs: 30_000,
  });
  await end();
  t.equal(await stopped, 0);
});
