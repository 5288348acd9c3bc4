import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { findProgram } from "./enter-namespace.js";

t.test("a program is found by its name, in the order of PATH, or by its path", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const [one, two] = ["one", "two"].map((name) => join(folder, name)) as [string, string];
  mkdirSync(join(two, "tool"), { recursive: true }); // a folder can be "executed", too
  mkdirSync(one);
  const program = (path: string, mode = 0o755) => {
    writeFileSync(path, "#!/bin/sh\n");
    chmodSync(path, mode);
    return path;
  };
  const [first, second, plain, other] = [
    program(join(one, "both")),
    program(join(two, "both")),
    program(join(one, "plain"), 0o644),
    program(join(two, "plain")),
  ];
  const cases: [what: string, name: string, path: string, found: string | undefined][] = [
    ["the first of PATH", "both", `${one}:${two}`, first],
    ["the first of another PATH", "both", `${two}:${one}`, second],
    ["one that cannot be executed is passed over", "plain", `${one}:${two}`, other],
    ["a folder is no program", "tool", `${one}:${two}`, undefined],
    ["nowhere", "nosuch", `${one}:${two}`, undefined],
    ["no PATH", "both", "", undefined],
    ["folders that are not there", "both", `${folder}/none:${two}`, second],
    ["a path, whatever PATH is", first, "", first],
    ["a path to what cannot be executed", plain, two, undefined],
    ["a path to a folder", two, two, undefined],
  ];
  for (const [what, name, path, found] of cases) t.equal(findProgram(name, path), found, what);
  t.match(findProgram("sh"), /^\/.*\/sh$/, "the environment's PATH counts unless another is given");
  t.end();
});
