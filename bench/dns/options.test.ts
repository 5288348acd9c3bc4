import t from "tap";
import { UsageError } from "../lib/command-line.js";
import { measures, readOptions } from "./options.js";

t.test("what is not given has its default, also beside --quick", (t) => {
  t.match(readOptions([]), { rounds: 5, seconds: 2, starts: 100, changes: 20, only: Object.keys(measures) });
  t.match(readOptions(["--quick", "--rounds", "7"]), { rounds: 7, seconds: 1, starts: 5 });
  t.end();
});

t.test("some measures only, in the order in which they are made", (t) => {
  t.same(readOptions(["--only", "memory,p99"]).only, ["p99", "memory"]);
  for (const wrong of ["", "speed", "p99,", "toString"])
    t.throws(() => readOptions(["--only", wrong]), { name: "UsageError", message: /--only knows no measure called/ });
  t.end();
});

t.test("wrong options are refused by name", (t) => {
  t.throws(() => readOptions(["--round", "3"]), { name: "UsageError", message: /--round/ });
  for (const wrong of ["0", "-1", "many", "1.5"]) t.throws(() => readOptions([`--rounds=${wrong}`]), UsageError);
  t.end();
});
