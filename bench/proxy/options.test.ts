import t from "tap";
import { measures, readOptions } from "./options.js";

t.test("what is not given has its default, also beside --quick", (t) => {
  t.match(readOptions([]), {
    rounds: 5,
    seconds: 3,
    ports: 200,
    range: 1000,
    churnSeconds: 600,
    only: Object.keys(measures),
  });
  t.match(readOptions(["--quick", "--churn-seconds", "7", "--only", "idle,udp"]), {
    rounds: 2,
    churnSeconds: 7,
    only: { length: 2, 0: "udp", 1: "idle" },
  });
  t.end();
});

t.test("wrong options are refused by name", (t) => {
  t.throws(() => readOptions(["--starts", "3"]), { name: "UsageError", message: /--starts/ });
  t.throws(() => readOptions(["--only", "local"]), { name: "UsageError", message: /--only knows no measure called/ });
  t.throws(() => readOptions(["--churn-seconds=0"]), { name: "UsageError", message: /--churn-seconds/ });
  t.end();
});
