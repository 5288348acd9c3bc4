import t from "tap";
import { measures, readOptions } from "./options.js";

t.test("what is not given has its default, also beside --quick", (t) => {
  t.same(readOptions([]), {
    only: Object.keys(measures),
    rounds: 7,
    times: 20,
    seconds: 3,
    hosts: 50,
    endpoints: 5000,
  });
  t.same(readOptions(["--quick", "--only", "traffic,connect", "--hosts=3"]), {
    only: ["connect", "traffic"],
    rounds: 2,
    times: 5,
    seconds: 1,
    hosts: 3,
    endpoints: 100,
  });
  t.end();
});
