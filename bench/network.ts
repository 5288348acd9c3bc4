// `npm run bench -- network`: networks and endpoints beside CNI's plugins and netavark.
import { BareHost } from "../integration/lab/index.js";
import { describeMachine } from "./lib/machine.js";
import { runProgram } from "./lib/program.js";
import { measureEndpoints } from "./network/endpoints.js";
import { measureFlush } from "./network/flush.js";
import { measureGrowth } from "./network/growth.js";
import { readOptions, usage } from "./network/options.js";
import { measurePublish } from "./network/publish.js";
import { measureStart } from "./network/start.js";
import { measureTrace } from "./network/trace.js";
import { measureTraffic } from "./network/traffic.js";

const programs = {
  // They tell none that is theirs.
  "cni-plugins": ["dpkg-query", "--show", "containernetworking-plugins"],
  netavark: ["/usr/lib/podman/netavark", "--version"],
  iptables: ["iptables", "--version"],
  nft: ["nft", "--version"],
  iperf3: ["iperf3", "--version"],
  wrk: ["wrk", "--version"],
};

await runProgram({
  name: "network",
  usage,
  readOptions,
  describeMachine: async (undo) => {
    const host = await BareHost.start(undo);
    return describeMachine((argv) => host.exec(argv, { reject: false }), programs);
  },
  parts: [
    { makes: ["endpoint", "gone", "port", "cni", "cni-port"], run: measureEndpoints },
    { makes: ["growth"], run: measureGrowth },
    { makes: ["publish"], run: measurePublish },
    { makes: ["traffic"], run: measureTraffic },
    { makes: ["start"], run: measureStart },
    { makes: ["flush"], run: measureFlush },
    { makes: ["trace"], run: measureTrace },
  ],
});
