// `npm run bench -- memory`: what pontoon costs while nothing happens, beside a dockerd with its docker-proxies.
import { DockerHost } from "../integration/lab/index.js";
import { measureIdle } from "./memory/idle.js";
import { readOptions, usage } from "./memory/options.js";
import { measureStatus } from "./memory/status.js";
import { describeMachine } from "./lib/machine.js";
import { runProgram } from "./lib/program.js";

await runProgram({
  name: "memory",
  usage,
  readOptions,
  describeMachine: async (undo) => {
    const host = await DockerHost.start(undo);
    return describeMachine((argv) => host.exec(argv, { reject: false }), { dockerd: ["dockerd", "--version"] });
  },
  parts: [
    { makes: ["idle"], run: measureIdle },
    { makes: ["status"], run: measureStatus },
  ],
});
