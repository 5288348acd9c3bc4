import t from "tap";
import { readOptions, UsageError } from "./options.js";

t.test("what is not given has its default, also beside --quick", (t) => {
  t.match(readOptions([]), { rounds: 5, seconds: 3, starts: 100 });
  t.match(readOptions(["--quick", "--rounds", "7"]), { rounds: 7, seconds: 1, starts: 10 });
  t.end();
});

t.test("wrong options are refused by name", (t) => {
  t.throws(() => readOptions(["--round", "3"]), { name: "UsageError", message: /--round/ });
  for (const wrong of ["0", "-1", "many", "1.5"]) t.throws(() => readOptions([`--rounds=${wrong}`]), UsageError);
  t.end();
});
