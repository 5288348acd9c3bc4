// `npm run bench -- dns`: pontoon beside Docker's own resolver, dnsmasq and aardvark-dns, and what else it promises.
import { DockerHost } from "../integration/lab/index.js";
import { measureFairness } from "./dns/fairness.js";
import { describeMachine } from "./lib/machine.js";
import { measureMemory } from "./dns/memory.js";
import { measureOnSite } from "./dns/on-site.js";
import { readOptions, usage } from "./dns/options.js";
import { aardvarkProgram } from "./peers/aardvark.js";
import { runProgram } from "./lib/program.js";
import { measureRunning } from "./dns/running.js";
import { measureTableSize } from "./dns/table-size.js";

const programs = {
  dockerd: ["dockerd", "--version"],
  dnsmasq: ["dnsmasq", "--version"],
  "aardvark-dns": [aardvarkProgram, "--version"],
  dnsperf: ["dnsperf", "-h"],
};

await runProgram({
  name: "dns",
  usage,
  readOptions,
  describeMachine: async (undo) => {
    const host = await DockerHost.start(undo);
    return describeMachine((argv) => host.exec(argv, { reject: false }), programs);
  },
  // Each has a host of its own.
  parts: [
    { makes: ["local", "upstream", "p99", "starts", "changes"], run: measureOnSite },
    { makes: ["table", "churn"], run: measureTableSize },
    { makes: ["fairness"], run: measureFairness },
    { makes: ["memory"], run: measureMemory },
    { makes: ["running"], run: measureRunning },
  ],
});
