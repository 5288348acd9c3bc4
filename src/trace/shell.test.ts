import { spawnSync } from "node:child_process";
import t from "tap";
import { shellWord } from "./shell.js";

t.test("a name is one word to a shell, whatever it holds", (t) => {
  for (const name of ["web", "my net", "a;id", "$(id)", "`id`", "it's", 'say "x"', "a\nb", "*", "~", ""])
    t.equal(spawnSync("sh", ["-c", `printf %s ${shellWord(name)}`], { encoding: "utf8" }).stdout, name);
  t.equal(shellWord("web-1.example"), "web-1.example", "without quotes where none are needed");
  t.end();
});
