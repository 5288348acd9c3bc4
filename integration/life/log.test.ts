import { readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { DockerHost, until, type Container, type Pontoon } from "../lab/index.js";
import { repositoryRoot } from "../lab/root.js";

const lost = /"lines":\d+,"msg":"lines of the log were lost here/;

interface Kind {
  readonly output: string;
  /** Shell lines that make what the output goes to. */
  readonly prepare: string;
  /** Shell lines after which the log can be written again. */
  readonly mend?: string;
  /** Where what was written is then found. */
  readonly file: string;
}

const kinds: Record<string, Kind> = {
  "a fifo that nobody reads": {
    prepare: "mkfifo /run/log",
    output: "1<>/run/log",
    mend: "timeout 20 cat /run/log >/run/read &",
    file: "/run/read",
  },
  "a fifo whose reader has gone": {
    prepare: "mkfifo /run/log; head -c 1 /run/log &",
    output: "1>/run/log",
    mend: "timeout 20 cat /run/log >/run/read &",
    file: "/run/read",
  },
  "a full disk": {
    prepare:
      "mkdir /run/small; mount -t tmpfs -o size=300k none /run/small; head -c 200k /dev/zero >/run/small/ballast",
    output: ">>/run/small/log 2>&1",
    mend: "rm /run/small/ballast; mount -o remount,size=100m /run/small",
    file: "/run/small/log",
  },
  "/dev/full": { prepare: "true", output: ">/dev/full 2>&1", file: "/dev/null" },
};

for (const [name, { prepare, output, mend, file }] of Object.entries(kinds))
  t.test(`${name}: nobody waits for the log, and what is lost is told`, async (t) => {
    const host = await DockerHost.start(t);
    await host.network("n1");
    const web = await host.container({ name: "web", networks: ["n1"] });
    await host.exec(["sh", "-c", `(${prepare}) >/dev/null 2>&1`]);
    const pontoon = await host.pontoon({ config: "dns:\n  query-log: true\n", output });
    await pontoon.answersIn(web);
    await askMore(web, pontoon, 20_000); // what is held of the log, and what a pipe holds, is less
    t.equal((await web.dig("web")).answers[0]?.ttl, 5);
    if (mend !== undefined) {
      await host.exec(["sh", "-c", `(${mend}) >/dev/null 2>&1`]);
      await until(() => lost.test(readFileSync(host.path(file), "utf8")), {
        timeoutMs: 15_000,
        what: "what was lost is told",
      });
      const lines = readFileSync(host.path(file), "utf8").split("\n").slice(0, -1);
      t.ok(
        lines.filter((line) => !isRecord(line)).length <= 1,
        "lines are whole, but for one that a reader began to read",
      );
    }
    t.equal(await pontoon.stop(), 0);
    t.equal((await web.dig("web")).answers[0]?.ttl, 600, "everything was given back");
  });

t.test("a log that stays full does not keep the daemon from ending", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  await host.exec(["mkfifo", "/run/log"]);
  for (const signal of ["SIGTERM", "SIGINT", "SIGUSR2"] as const) {
    const pontoon = await host.pontoon({ config: "dns:\n  query-log: true\n", output: "1<>/run/log 2>&1" });
    await pontoon.answersIn(web);
    await askMore(web, pontoon, 2000);
    t.equal(await pontoon.stop(signal), 0, signal);
  }
  const second = await host.pontoon({ output: "1<>/run/log 2>&1" });
  const command = [process.execPath, join(repositoryRoot, "bin", "pontoon"), "daemon", "--run-dir=/run/other"];
  const { exitCode } = await host.exec(["sh", "-c", 'exec "$@" 1<>/run/log 2>&1', "sh", ...command], { reject: false });
  t.equal(exitCode, 1, "nor one that cannot start");
  await second.stop();
});

t.test(
  "a fault nobody foresaw ends the daemon also when its log is full, and is told there, as warnings of Node's are",
  async (t) => {
    const host = await DockerHost.start(t);
    await host.network("n1");
    const web = await host.container({ name: "web", networks: ["n1"] });
    await host.exec(["mkfifo", "/run/log"]);
    const faults =
      'process.on("SIGWINCH", () => { process.emitWarning("hm"); }).on("SIGURG", () => { throw new Error("unforeseen".repeat(1000)); })';
    const pontoon = await host.pontoon({
      config: "dns:\n  query-log: true\n",
      output: "1<>/run/log 2>&1",
      env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(faults)}` },
    });
    await pontoon.answersIn(web);
    await askMore(web, pontoon, 2000);
    t.equal(await pontoon.stop("SIGURG"), 1);
    const another = await host.pontoon({
      env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(faults)}` },
    });
    await host.signal("SIGWINCH", another.pid);
    await until(
      () =>
        another.logs.some((line) => /^\{"level":40,.*"name":"Warning","reason":"(hm)+","msg":"Node warns"/.test(line)),
      { what: "a warning is a line of the log" },
    );
    t.equal(await another.stop("SIGURG"), 1);
    t.match(another.logs.at(-1), /^\{"level":60,.*"stack":"Error: unforeseen.*"msg":"the daemon ends/);
    await another.killEverything(); // its servers
  },
);

async function askMore(web: Container, pontoon: Pontoon, count: number): Promise<void> {
  const flow = await web.flow("web", { rate: 4000 });
  await until(async () => (await flow.soFar()).sent >= count, { timeoutMs: 60_000, what: "queries flow" });
  await flow.stop();
  await pontoon.status();
}

function isRecord(line: string): boolean {
  try {
    return typeof JSON.parse(line) === "object";
  } catch {
    return false;
  }
}
