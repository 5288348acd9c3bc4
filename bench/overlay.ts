// `npm run bench -- overlay`: networks over several hosts, beside Docker's own overlay.
import { DockerHost } from "../integration/lab/index.js";
import { describeMachine } from "./lib/machine.js";
import { runProgram } from "./lib/program.js";
import { measureConnects } from "./overlay/connects.js";
import { measureEndpoints } from "./overlay/endpoints.js";
import { measureHosts } from "./overlay/hosts.js";
import { readOptions, usage } from "./overlay/options.js";
import { measureTraffic } from "./overlay/traffic.js";

const programs = {
  dockerd: ["dockerd", "--version"],
  etcd: ["etcd", "--version"],
  iperf3: ["iperf3", "--version"],
};

await runProgram({
  name: "overlay",
  usage,
  readOptions,
  describeMachine: async (undo) => {
    const host = await DockerHost.start(undo);
    return describeMachine((argv) => host.exec(argv, { reject: false }), programs);
  },
  parts: [
    { makes: ["connect", "name"], run: measureConnects },
    { makes: ["traffic"], run: measureTraffic },
    { makes: ["hosts"], run: measureHosts },
    { makes: ["endpoints"], run: measureEndpoints },
  ],
});
