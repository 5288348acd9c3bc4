// `npm run bench -- driver`: networks that Docker makes with pontoon as their driver, beside those of its own bridge driver.
import { DockerHost } from "../integration/lab/index.js";
import { readOptions, usage } from "./driver/options.js";
import { measureRange } from "./driver/range.js";
import { measureRun } from "./driver/run.js";
import { measureTogether } from "./driver/together.js";
import { measureTraffic } from "./driver/traffic.js";
import { describeMachine } from "./lib/machine.js";
import { runProgram } from "./lib/program.js";

const programs = {
  dockerd: ["dockerd", "--version"],
  docker: ["docker", "--version"],
  iptables: ["iptables", "--version"],
  iperf3: ["iperf3", "--version"],
  wrk: ["wrk", "--version"],
};

await runProgram({
  name: "driver",
  usage,
  readOptions,
  describeMachine: async (undo) => {
    const host = await DockerHost.start(undo);
    return describeMachine((argv) => host.exec(argv, { reject: false }), programs);
  },
  parts: [
    { makes: ["run", "port"], run: measureRun },
    { makes: ["range"], run: measureRange },
    { makes: ["traffic"], run: measureTraffic },
    { makes: ["together"], run: measureTogether },
  ],
});
