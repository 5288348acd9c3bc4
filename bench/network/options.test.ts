import t from "tap";
import { measures, readOptions } from "./options.js";

t.test("what is not given has its default, also beside --quick", (t) => {
  t.same(readOptions([]), {
    only: Object.keys(measures),
    rounds: 7,
    times: 20,
    row: 100,
    endpoints: 500,
    ports: 1000,
    seconds: 3,
    networks: 200,
    sandboxes: 1000,
  });
  t.same(readOptions(["--quick", "--only", "flush,gone", "--row=3"]), {
    only: ["gone", "flush"],
    rounds: 2,
    times: 5,
    row: 3,
    endpoints: 60,
    ports: 100,
    seconds: 1,
    networks: 10,
    sandboxes: 50,
  });
  t.end();
});
