import { InvalidArgumentError, Option, type Command } from "commander";
import type { NetworkAnswer, NetworkLinksAnswer, SandboxAnswer } from "../networks/contract.js";
import type { CommandTools } from "./command-tools.js";
import { globalFlags } from "./flags.js";
import { formatTable } from "./table.js";
import { labelList, labelsOf, list, withoutUndefined } from "./values.js";

/** `pontoon network …`. */
export function addNetworkCommands(network: Command, { command, get, post, print }: CommandTools): void {
  command(network, "create", "make a network")
    .argument("<name>", "its name")
    .addOption(
      new Option(
        "-d, --driver <driver>",
        "what it is made of: bridge, overlay, macvlan, ipvlan, or what a plugin of Docker's is called",
      ).default("bridge"),
    )
    .option("-o, --opt <key=value>", "of a plugin: an option of its own", optionList)
    .option("--ipam-driver <driver>", "who gives addresses: a plugin; null: its driver")
    .option("--ipam-opt <key=value>", "of a plugin that gives addresses: an option of its own", optionList)
    .option(
      "--subnet <cidr>",
      "its addresses; several, of either family; from:LINK is a part of that link's IPv6 prefix",
      list,
      [],
    )
    .option("--gateway <address>", "the bridge's own address in a subnet", list, [])
    .option("--ip-range <cidr>", "the part of a subnet from which addresses are given", list, [])
    .option("--ipv6", "with IPv6 as well")
    .option("--internal", "nothing comes in or goes out")
    .addOption(new Option("--icc <on>", "whether its sandboxes reach one another").argParser(onOff).default(true))
    .option("--mtu <bytes>", "largest packet; that of the host's way out, if not given", wholeNumber)
    .option("--no-masquerade", "what leaves keeps its own address")
    .option("--snat-address <address>", "what leaves has this address", list, [])
    .option("--encrypted", "of overlay: what passes between hosts is encrypted")
    .option("--host-binding <address>", "where ports are published that name no address")
    .option("--bridge-name <link>", "name of the bridge; one that is there is adopted")
    .option("--parent <link>", "of macvlan and ipvlan: the host's link to the LAN; eth0.10 is VLAN 10 of eth0")
    .option(
      "--ipam <who>",
      "of macvlan and ipvlan: dhcp, the LAN's server lends addresses; default, pontoon gives them",
    )
    .option("--mode <mode>", "of macvlan: bridge, private, vepa, passthru; of ipvlan: l2, l3, l3s")
    .option("--host-access", "of macvlan and ipvlan: the host reaches its sandboxes, and they it")
    .option("--host-address <address>", "the host's own address there, with --host-access", list, [])
    .option(
      "--ndp-proxy [link]",
      "the LAN at this link, or at that of IPv6's default route, reaches its IPv6 addresses",
    )
    .option("--no-firewall", "without rules in the host's firewall")
    .option("--label <key=value>", "a label", labelList, [])
    .action(async (name: string, given: Record<string, unknown>) => {
      const flags = commonFlags(given);
      const made = await post(flags, "/v1/networks", {
        ...withoutUndefined({
          name,
          driver: given.driver,
          options: optionsOf(given.opt),
          ipamDriver: given.ipamDriver,
          ipamOptions: optionsOf(given.ipamOpt),
          subnets: given.subnet,
          gateways: given.gateway,
          ipRanges: given.ipRange,
          ipv6: given.ipv6,
          internal: given.internal,
          icc: given.icc,
          mtu: given.mtu,
          masquerade: given.masquerade,
          snatAddresses: given.snatAddress,
          encrypted: given.encrypted,
          hostBinding: given.hostBinding,
          bridge: given.bridgeName,
          ipam: given.ipam,
          parent: given.parent,
          mode: given.mode,
          hostAddresses: hostAddressesOf(given),
          firewall: given.firewall,
          ndpProxy: given.ndpProxy === true ? "" : given.ndpProxy,
        }),
        labels: labelsOf(given.label as string[]),
      });
      print(flags, made as NetworkAnswer, ({ Id }) => [Id]);
    });

  command(network, "ls", "list networks").action(async (given: Record<string, unknown>) => {
    const flags = commonFlags(given);
    print(flags, (await get(flags, "/v1/networks")) as NetworkAnswer[], networksText);
  });

  command(network, "inspect", "show networks whole")
    .argument("<network...>", "names or ids")
    .action(async (names: string[], given: Record<string, unknown>) => {
      const flags = commonFlags(given);
      const found: NetworkAnswer[] = [];
      for (const name of names)
        found.push(...((await get(flags, `/v1/networks?name=${encodeURIComponent(name)}`)) as NetworkAnswer[]));
      print(flags, found, (networks) => JSON.stringify(networks, undefined, 4).split("\n"));
    });

  command(network, "rm", "remove networks that no sandbox is on")
    .argument("<network...>", "names or ids")
    .action(async (names: string[], given: Record<string, unknown>) => {
      const flags = commonFlags(given);
      const removed: NetworkAnswer[] = [];
      for (const name of names) removed.push((await post(flags, "/v1/networks/remove", { name })) as NetworkAnswer);
      print(flags, removed, (networks) => networks.map(({ Name }) => Name));
    });

  command(network, "prune", "remove every network that no sandbox is on").action(
    async (given: Record<string, unknown>) => {
      const flags = commonFlags(given);
      const removed = (await post(flags, "/v1/networks/prune", {})) as NetworkAnswer[];
      print(flags, removed, (networks) => networks.map(({ Name }) => Name));
    },
  );

  command(network, "links", "show the bridges of networks, and what is plugged into them")
    .argument("[network]", "name or id; all without")
    .action(async (name: string | undefined, given: Record<string, unknown>) => {
      const flags = commonFlags(given);
      const query = name === undefined ? "" : `?name=${encodeURIComponent(name)}`;
      print(flags, (await get(flags, `/v1/networks/links${query}`)) as NetworkLinksAnswer[], linksText);
    });

  addConnectOptions(command(network, "connect", "connect a sandbox to a network, while it runs"))
    .argument("<network>", "name or id")
    .argument("<sandbox>", "name or id")
    .option("--ifname <link>", "name of the link in the sandbox")
    .option("--gw-priority <number>", "the highest is the way out", wholeNumber)
    .action(async (name: string, sandbox: string, given: Record<string, unknown>) => {
      const flags = commonFlags(given);
      const answer = await post(flags, "/v1/networks/connect", {
        network: name,
        sandbox,
        ...connectRequest(given),
        ...withoutUndefined({ ifname: given.ifname, gatewayPriority: given.gwPriority }),
      });
      print(flags, answer as SandboxAnswer, () => []);
    });

  command(network, "disconnect", "disconnect a sandbox from a network, while it runs")
    .argument("<network>", "name or id")
    .argument("<sandbox>", "name or id")
    .action(async (name: string, sandbox: string, given: Record<string, unknown>) => {
      const flags = commonFlags(given);
      print(
        flags,
        (await post(flags, "/v1/networks/disconnect", { network: name, sandbox })) as SandboxAnswer,
        () => [],
      );
    });
}

/** As {@link labelList}, left out where none is given. */
function optionList(value: string, before: readonly string[] = []): string[] {
  return labelList(value, before);
}

function optionsOf(given: unknown): Record<string, string> | undefined {
  return given === undefined ? undefined : labelsOf(given as string[]);
}

/** Of a sandbox's place on a network. */
export function addConnectOptions(command: Command): Command {
  return command
    .option("--ip <address>", "its address; one of each family", list, [])
    .option("--mac <address>", "the link's MAC address")
    .option("--alias <name>", "another name there", list, [])
    .option("--bandwidth <rate>", "how fast at most: 10mbit, or 10mbit/1mbit to the sandbox and from it")
    .option("--link <sandbox:alias>", "another sandbox, by a name of one's own", list, []);
}

export function connectRequest({ ip, mac, alias, link, bandwidth }: Record<string, unknown>): Record<string, unknown> {
  return withoutUndefined({ ips: ip, mac, aliases: alias, links: link, bandwidth });
}

/** Of every command; commander has checked the rest. */
export function commonFlags({ runDir, json }: Record<string, unknown>) {
  return globalFlags(withoutUndefined({ runDir, json }));
}

function networksText(networks: readonly NetworkAnswer[]): readonly string[] {
  const rows = networks.map(({ Id, Name, Driver, IPAM, Internal, Options, Containers }) => [
    Id.slice(0, 12),
    Name,
    Driver,
    Options["com.docker.network.bridge.name"] ?? Options.parent ?? "",
    IPAM.Driver === "dhcp" ? "dhcp" : IPAM.Config.map(({ Subnet }) => Subnet).join(", "),
    String(Object.keys(Containers).length),
    Internal ? "internal" : "",
  ]);
  return formatTable(["NETWORK ID", "NAME", "DRIVER", "LINK", "SUBNETS", "SANDBOXES", ""], rows);
}

function linksText(networks: readonly NetworkLinksAnswer[]): readonly string[] {
  return networks.flatMap(({ network, bridge, id, stp, mtu, up, addresses, ports }, index) => [
    ...(index === 0 ? [] : [""]),
    [
      `${network}: ${id === null ? "link" : "bridge"} ${bridge} ${up ? "up" : "down"}`,
      `id ${id ?? "-"}`,
      `STP ${stp === true ? "on" : "off"}`,
      `MTU ${mtu ?? "-"}`,
      addresses.join(" ") || "no address",
    ].join(", "),
    ...formatTable(
      ["LINK", "STATE", "SANDBOX", "END", "MAC", "ADDRESSES"],
      ports.map((port) => [
        port.link,
        port.up ? "up" : "down",
        port.sandbox ?? "-",
        port.end ?? "-",
        port.mac ?? "-",
        port.addresses.join(" ") || "-",
      ]),
    ),
  ]);
}

/** Undefined without access; none to have them chosen. */
function hostAddressesOf({ hostAccess, hostAddress }: Record<string, unknown>): string[] | undefined {
  const given = hostAddress as string[];
  return hostAccess === true || given.length > 0 ? given : undefined;
}

function onOff(text: string): boolean {
  if (text === "true" || text === "on") return true;
  if (text === "false" || text === "off") return false;
  throw new InvalidArgumentError("it is true or false.");
}

function wholeNumber(text: string): number {
  if (/^-?\d{1,10}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("it is a whole number.");
}
