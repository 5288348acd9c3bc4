import type { Command } from "commander";
import type { NetworkAnswer, SandboxAnswer } from "../networks/contract.js";
import { PontoonError } from "../../common/errors.js";
import type { CommandTools } from "./command-tools.js";
import { addConnectOptions, commonFlags, connectRequest } from "./network-commands.js";
import { formatTable } from "./table.js";
import { labelList, labelsOf, list, withoutUndefined } from "./values.js";

/** `pontoon sandbox …`. */
export function addSandboxCommands(sandbox: Command, { command, get, post, print }: CommandTools): void {
  const one = async (flags: ReturnType<typeof commonFlags>, name: string) => {
    const [found] = (await get(flags, `/v1/sandboxes?name=${encodeURIComponent(name)}`)) as SandboxAnswer[];
    return found!;
  };

  addSandboxOptions(command(sandbox, "create", "make a network namespace that `ip netns` sees, too"))
    .argument("<name>", "its name")
    .option("--join <sandbox>", "another sandbox, whose network it shares")
    .action(async (name: string, given: Record<string, unknown>) => {
      const flags = commonFlags(given);
      const made = await post(flags, "/v1/sandboxes", {
        name,
        ...withoutUndefined({ join: given.join }),
        ...sandboxRequest(given),
      });
      print(flags, made as SandboxAnswer, ({ id }) => [id]);
    });

  addSandboxOptions(command(sandbox, "adopt", "take in a network namespace that is there already"))
    .argument("<name>", "its name")
    .option("--pid <pid>", "that of a process")
    .option("--netns <path>", "that at a path")
    .option("--container <container>", "that of a container of Docker's that has no network")
    .action(async (name: string, given: Record<string, unknown>) => {
      const flags = commonFlags(given);
      const { pid, netns, container } = given;
      if ([pid, netns, container].filter((each) => each !== undefined).length !== 1)
        throw new PontoonError(
          "NAMESPACE_UNKNOWN",
          name,
          "say which namespace is meant: give one of --pid, --netns and --container",
        );
      const adopt = pid === undefined ? netns : `/proc/${pid as string}/ns/net`;
      const made = await post(flags, "/v1/sandboxes", {
        name,
        ...withoutUndefined({ adopt, container }),
        ...sandboxRequest(given),
      });
      print(flags, made as SandboxAnswer, ({ id }) => [id]);
    });

  command(sandbox, "pair", "join two sandboxes by a link of their own, without a bridge")
    .argument("<sandbox>", "name or id")
    .argument("<other>", "name or id")
    .requiredOption("--subnet <cidr>", "its addresses, such as 10.1.1.0/30; one of each family", list, [])
    .option("--network <name>", "name of the network that it makes; those of the two, if not given")
    .action(async (one: string, other: string, given: Record<string, unknown>) => {
      const flags = commonFlags(given);
      const made = await post(flags, "/v1/sandboxes/pair", {
        sandboxes: [one, other],
        subnets: given.subnet,
        ...withoutUndefined({ name: given.network }),
      });
      print(flags, made as NetworkAnswer, ({ Id }) => [Id]);
    });

  command(sandbox, "ls", "list sandboxes").action(async (given: Record<string, unknown>) => {
    const flags = commonFlags(given);
    print(flags, (await get(flags, "/v1/sandboxes")) as SandboxAnswer[], sandboxesText);
  });

  command(sandbox, "inspect", "show sandboxes whole")
    .argument("<sandbox...>", "names or ids")
    .action(async (names: string[], given: Record<string, unknown>) => {
      const flags = commonFlags(given);
      const found: SandboxAnswer[] = [];
      for (const name of names) found.push(await one(flags, name));
      print(flags, found, (sandboxes) => JSON.stringify(sandboxes, undefined, 4).split("\n"));
    });

  command(sandbox, "rm", "remove sandboxes, with what connects them")
    .argument("<sandbox...>", "names or ids")
    .action(async (names: string[], given: Record<string, unknown>) => {
      const flags = commonFlags(given);
      const removed: SandboxAnswer[] = [];
      for (const name of names) removed.push((await post(flags, "/v1/sandboxes/remove", { name })) as SandboxAnswer);
      print(flags, removed, (sandboxes) => sandboxes.map(({ name }) => name));
    });

  const environment = async (flags: ReturnType<typeof commonFlags>, name: string) =>
    (await get(flags, `/v1/sandboxes/env?name=${encodeURIComponent(name)}`)) as string[];

  command(sandbox, "env", "show what programs in a sandbox are told of those it is linked to")
    .argument("<sandbox>", "name or id")
    .action(async (name: string, given: Record<string, unknown>) => {
      const flags = commonFlags(given);
      print(flags, await environment(flags, name), (lines) => lines);
    });

  command(sandbox, "exec", "run a program in a sandbox")
    .argument("<sandbox>", "name or id")
    .argument("<program...>", "the program and its arguments")
    .passThroughOptions()
    .action(async (name: string, [program = "", ...args]: string[], given: Record<string, unknown>) => {
      const flags = commonFlags(given);
      const [{ runInside }, inside, variables] = await Promise.all([
        import("./sandbox-exec.js"),
        one(flags, name),
        environment(flags, name),
      ]);
      runInside(inside, variables, program, args);
    });
}

function addSandboxOptions(command: Command): Command {
  return addConnectOptions(command)
    .option("--network <network>", "a network to connect it to (default: `default`; none: no network)", list, [])
    .option("--hostname <name>", "its hostname (default: its name)")
    .option("--expose <port>", "a port it serves: 80, 53/udp, 8000-8010", list, [])
    .option("--dns <address>", "a server to ask instead of the host's", list, [])
    .option("--dns-search <domain>", "a domain that names are looked for in", list, [])
    .option("--dns-opt <option>", "an option of resolv.conf", list, [])
    .option("--add-host <name:address>", "a line for its hosts file", list, [])
    .option("--label <key=value>", "a label", labelList, []);
}

function sandboxRequest(given: Record<string, unknown>): Record<string, unknown> {
  return {
    ...connectRequest(given),
    ...withoutUndefined({
      networks: given.network,
      hostname: given.hostname,
      exposed: given.expose,
      dns: given.dns,
      dnsSearch: given.dnsSearch,
      dnsOptions: given.dnsOpt,
      extraHosts: given.addHost,
    }),
    labels: labelsOf(given.label as string[]),
  };
}

function sandboxesText(sandboxes: readonly SandboxAnswer[]): readonly string[] {
  const rows = sandboxes.map(({ id, name, state, joined, networks }) => [
    id.slice(0, 12),
    name,
    state,
    joined === null
      ? networks.map(({ network, ipv4, ipv6 }) => `${network} ${ipv4 ?? ipv6 ?? "-"}`).join(", ") || "none"
      : `shared with ${joined}`,
  ]);
  return formatTable(["SANDBOX ID", "NAME", "STATE", "NETWORKS"], rows);
}
