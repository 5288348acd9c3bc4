import { readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { DockerHost } from "../lab/index.js";
import { repositoryRoot } from "../lab/root.js";

interface Step {
  readonly command: string;
  readonly prints: string;
}

/** Commands of the README's transcripts with what they print there. */
function transcripts(): Step[][] {
  const readme = readFileSync(join(repositoryRoot, "README.md"), "utf8");
  const blocks = [...readme.matchAll(/<!-- transcript: .*-->\n\n```console\n([\s\S]*?)```/g)];
  return blocks.map(([, block]) =>
    block!
      .split(/^\$ /m)
      .slice(1)
      .map((text) => ({ command: text.slice(0, text.indexOf("\n")), prints: text.slice(text.indexOf("\n") + 1) })),
  );
}

/** Text without what differs from run to run: numbers, spacing of columns, the kind of unit, from where Docker asks. */
function shape(text: string): string[] {
  return text
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME")
    .replace(/\d+\.\d+\.\d+\+\S+?,/g, "VERSION,")
    .replace(/\d+(\.\d+)*/g, "#")
    .replaceAll("host(#)", "#")
    .split("\n")
    .map((line) => line.trim().replace(/\s+/g, " "))
    .filter((line) => line !== "");
}

t.test("the README's transcripts are what a user sees", async (t) => {
  const all = transcripts();
  t.equal(all.length, 2, "there are transcripts");
  for (const steps of all) {
    const host = await DockerHost.start(t);
    t.ok(steps.length >= 5);
    const pontoon = await host.pontoon();
    for (const { command, prints } of steps) {
      const runnable = command.replace("bin/pontoon", `${process.execPath} ${join(repositoryRoot, "bin", "pontoon")}`);
      const { stdout } = await host.exec(["sh", "-c", runnable]);
      if (prints !== "") t.same(shape(stdout), shape(prints), command);
    }
    await pontoon.stop();
  }
});
