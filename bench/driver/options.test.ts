import t from "tap";
import { measures, readOptions } from "./options.js";

t.test("what is not given has its default, also beside --quick", (t) => {
  t.same(readOptions([]), {
    only: Object.keys(measures),
    rounds: 7,
    times: 10,
    ports: 200,
    seconds: 3,
    containers: 20,
  });
  t.same(readOptions(["--quick", "--only", "together,run", "--ports=3"]), {
    only: ["run", "together"],
    rounds: 2,
    times: 3,
    ports: 3,
    seconds: 1,
    containers: 5,
  });
  t.end();
});
