import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import ts from "typescript";
import { correctLinks, restoreOwnLines } from "./names/hosts-file.js";
import { parseExternalServers, parseResolvConf } from "./docker/resolv-conf.js";
import { mountsFilesOf } from "./names/takeovers/container-process.js";
import { parsePortSpec } from "./ports/spec.js";
import { printable, printableJson } from "../common/printable.js";

// Whoever reads text of others reads each letter a few times at most, whatever the text is. A regular expression that
// backtracks needs the square of that, or worse: seconds for what a container may write into its own resolv.conf.

const root = fileURLToPath(new URL("../../", import.meta.url));
const { include: folders } = JSON.parse(readFileSync(join(root, "tsconfig.build.json"), "utf8")) as {
  include: string[];
};
const letters = 32 * 1024;
/** What a reader may take at most, of several tries the fastest, ms: one pass needs less than one, the square of it hundreds. */
const timeAtMost = 50;

const specials = [
  "#",
  ";",
  "\r",
  "\0",
  "\n",
  "[",
  "]",
  "(",
  ")",
  "{",
  "}",
  " ",
  "\t",
  ":",
  ".",
  "=",
  "%",
  "/",
  ",",
  "-",
  "0",
  "a",
  "ü",
  "🐳",
  "\u202e",
  "\ufeff",
];
const ends = ["", "\r x", "\n", "!", "]x", "\u2028x"];

/** Texts of many repetitions of each part, behind each beginning. */
function* texts(beginnings: readonly string[], parts: readonly string[]): Generator<string> {
  for (const beginning of beginnings)
    for (const part of parts)
      for (const end of ends) yield beginning + part.repeat(Math.ceil(letters / part.length)) + end;
}

/** Milliseconds of the fastest try; tries that are fast enough are not repeated. */
function timeOf(work: () => unknown): number {
  let best = Infinity;
  for (let tried = 0; tried < 5 && best > timeAtMost / 2; tried++) {
    const start = performance.now();
    try {
      work();
    } catch {
      // refused: that may take no time either
    }
    best = Math.min(best, performance.now() - start);
    if (best > 40 * timeAtMost) break; // no accident
  }
  return best;
}

const db = { alias: "db", hostname: "h", name: "child", addresses: ["172.17.0.2"] };
const links = Array.from({ length: 256 }, (_, index) => ({ ...db, alias: `db${index}` }));

const readers: Record<string, [beginnings: readonly string[], read: (text: string) => unknown]> = {
  "a resolv.conf": [["", "nameserver ", "search ", "options ", "\n"], parseResolvConf],
  "the servers of dockerd": [["", "# ExtServers: [", "# ExtServers: [host("], parseExternalServers],
  "link lines": [["", "172.17.0.2\tdb h ", "172.17.0.2\t"], (text) => correctLinks(Buffer.from(text), links)],
  "own lines": [["", "172.17.0.2\t"], (text) => restoreOwnLines(Buffer.from(text), "box", ["172.17.0.2", "fd00::2"])],
  "a list of mounts": [["", "1 2 3 4 "], (text) => mountsFilesOf(text, "5e".repeat(32))],
  "a port to publish": [["", "[", "80:", "published="], parsePortSpec],
  "text for a terminal": [["", "\x1b"], printable],
  "JSON for a terminal": [[""], (text) => printableJson(JSON.stringify(text))],
};

for (const [name, [beginnings, read]] of Object.entries(readers))
  t.test(`${name}: no text takes long`, (t) => {
    const lines = [
      "nameserver 10.0.0.1\n",
      "172.17.0.2\tdb h child\n",
      "search a\n",
      "x\n",
      "10.0.0.1 ",
      "host(",
      "host(10.0.0.1) ",
      "# ExtServers: [",
      "a.b ",
    ];
    for (const text of texts(beginnings, [...specials, ...lines])) {
      const time = timeOf(() => read(text));
      if (time > timeAtMost)
        t.fail(`${JSON.stringify(text.slice(0, 60))} … ${JSON.stringify(text.slice(-10))}: ${time.toFixed(1)} ms`);
    }
    t.pass();
    t.end();
  });

t.test("no more is kept of a resolv.conf than a resolver would use", (t) => {
  const kept = parseResolvConf(
    ["nameserver 10.0.0.1\n", `search ${"a.b ".repeat(1000)}\n`, `options ${"x ".repeat(1000)}\n`].join("").repeat(50),
  );
  t.same([kept.nameservers.length, kept.search.length, kept.options.length], [32, 32, 32]);
  t.same(parseResolvConf(`${"# x\n".repeat(2048)}nameserver 10.0.0.1\n`).nameservers, []);
  t.same(parseResolvConf(`search ${"a".repeat(300)} b\nnameserver ${"1".repeat(300)}\noptions ${"x".repeat(300)}`), {
    nameservers: [],
    search: ["b"],
    options: [],
  });
  t.equal(parseExternalServers(`# ExtServers: [${"10.0.0.1 ".repeat(1000)}]`)!.length, 33);
  t.end();
});

/** Regular expressions as they stand in the program. */
function* expressions(): Generator<{ place: string; expression: RegExp }> {
  for (const folder of folders) {
    for (const name of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })) {
      const file = `${folder}/${name}`;
      if (!/\.ts$/.test(file) || /(\.test|\.d)\.ts$|\/(testing|fuzz)\//.test(file)) continue;
      const found: ts.Node[] = [
        ts.createSourceFile(file, readFileSync(join(root, file), "utf8"), ts.ScriptTarget.Latest),
      ];
      for (const node of found) {
        ts.forEachChild(node, (child) => void found.push(child));
        if (!ts.isRegularExpressionLiteral(node)) continue;
        const end = node.text.lastIndexOf("/");
        yield {
          place: `${file}: ${node.text}`,
          expression: new RegExp(node.text.slice(1, end), node.text.slice(end + 1)),
        };
      }
    }
  }
}

/** Texts that an expression likes, roughly: with each of its alternatives written out, and what comes before each of its letters. */
function partsFor({ source }: RegExp): string[] {
  const classes: Readonly<Record<string, string>> = {
    d: "1",
    s: " ",
    S: "x",
    w: "a",
    b: "",
    n: "\n",
    t: "\t",
    r: "\r",
    0: "\0",
  };
  const plain = source
    .replace(/\\p\{\w+\}/gu, "\x1b")
    .replace(/\[(?:\\.|[^\]\\])*\]/g, "x")
    .replace(/\\(.)/gs, (_, letter: string) => classes[letter] ?? letter)
    .replace(/\(\?[:=!]|[()^$]|\{\d+(?:,\d*)?\}|[*+?]/g, "")
    .replaceAll(".", "x");
  const whole = plain.split("|");
  return [...new Set(whole.flatMap((text) => [...text].map((_, index) => text.slice(0, index + 1))))].filter(
    (text) => text !== "",
  );
}

t.test("no regular expression of the program backtracks", (t) => {
  let count = 0;
  for (const { place, expression } of expressions()) {
    count++;
    const parts = partsFor(expression);
    for (const text of texts(["", parts.at(-1) ?? ""], [...parts, "x", " ", "1", ":", ".", "\r"])) {
      const time = timeOf(() => (expression.global ? text.replace(expression, "") : expression.exec(text)));
      if (time <= timeAtMost) continue;
      t.fail(
        `${place} takes ${time.toFixed(1)} ms for ${JSON.stringify(text.slice(0, 40))} … ${JSON.stringify(text.slice(-10))}`,
      );
      break;
    }
  }
  t.ok(count > 40, "they were found");
  t.end();
});
