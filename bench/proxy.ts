// `npm run bench -- proxy`: pontoon-proxy beside Docker's own docker-proxy.
import { describeMachine } from "./lib/machine.js";
import { runProgram } from "./lib/program.js";
import { measureChurn } from "./proxy/churn.js";
import { measureIdle } from "./proxy/idle.js";
import { measureMemory } from "./proxy/memory.js";
import { measurePublish } from "./proxy/publish.js";
import { readOptions, usage } from "./proxy/options.js";
import { measureRates, rateMeasures } from "./proxy/rates.js";
import { measureStart } from "./proxy/start.js";
import { World } from "./proxy/world.js";

const programs = {
  // Debian's docker-proxy tells none; it is of the same package.
  dockerd: ["dockerd", "--version"],
  wrk: ["wrk", "--version"],
  iperf3: ["iperf3", "--version"],
  dnsperf: ["dnsperf", "-h"],
};

await runProgram({
  name: "proxy",
  usage,
  readOptions,
  describeMachine: async (undo) => {
    const world = await World.start(undo);
    return describeMachine((argv) => world.run(argv, { reject: false }), programs);
  },
  parts: [
    { makes: rateMeasures, run: measureRates },
    { makes: ["memory"], run: measureMemory },
    { makes: ["idle"], run: measureIdle },
    { makes: ["churn"], run: measureChurn },
    { makes: ["start"], run: measureStart },
    { makes: ["publish"], run: measurePublish },
  ],
});
