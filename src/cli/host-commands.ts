import type { Command } from "commander";
import type { HostAnswer } from "../cluster/contract.js";
import type { CommandTools } from "./command-tools.js";
import { globalFlags } from "./flags.js";
import { formatTable } from "./table.js";

/** `pontoon host …`. */
export function addHostCommands(host: Command, { command, get, post, print }: CommandTools): void {
  command(host, "ls", "list the hosts that share a store with this one").action(async (given: unknown) => {
    const flags = globalFlags(given);
    print(flags, (await get(flags, "/v1/hosts")) as HostAnswer[], (hosts) =>
      formatTable(
        ["HOST", "ID", "ADDRESS", "STATE", "ENDPOINTS"],
        hosts.map(({ name, id, advertise, state, self, endpoints }) => [
          self ? `${name} (this one)` : name,
          id.slice(0, 12),
          advertise,
          state,
          String(endpoints),
        ]),
      ),
    );
  });

  command(host, "forget", "free the names and addresses of a host that does not come back")
    .argument("<host>", "its name, id or address")
    .action(async (name: string, given: unknown) => {
      const flags = globalFlags(given);
      const freed = (await post(flags, "/v1/hosts/forget", { host: name })) as { host: string; endpoints: number };
      print(flags, freed, ({ host: forgotten, endpoints }) => [
        `${forgotten} is forgotten; ${endpoints} ${endpoints === 1 ? "endpoint is" : "endpoints are"} free again`,
      ]);
    });
}
