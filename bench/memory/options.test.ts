import t from "tap";
import { readOptions } from "./options.js";

t.test("what is not given has its default, also beside --quick", (t) => {
  t.same(readOptions([]), { only: ["idle", "status"], rounds: 3, seconds: 60, containers: 20, commands: 30 });
  t.same(readOptions(["--quick", "--only", "status", "--rounds=2"]), {
    only: ["status"],
    rounds: 2,
    seconds: 20,
    containers: 20,
    commands: 10,
  });
  t.end();
});
