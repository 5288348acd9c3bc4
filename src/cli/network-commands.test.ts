import { Command } from "commander";
import t from "tap";
import type { NetworkAnswer, SandboxAnswer } from "../networks/contract.js";
import type { CommandTools } from "./command-tools.js";
import { addNetworkCommands } from "./network-commands.js";
import { addSandboxCommands } from "./sandbox-commands.js";

const network: NetworkAnswer = {
  Name: "web",
  Id: "0123456789abcdef".repeat(4),
  Created: "2026-01-02T03:04:05.000Z",
  Scope: "local",
  Driver: "bridge",
  EnableIPv6: true,
  IPAM: {
    Driver: "default",
    Config: [
      { Subnet: "10.1.0.0/24", Gateway: "10.1.0.1" },
      { Subnet: "fd00:1::/64", Gateway: "fd00:1::1" },
    ],
  },
  Internal: true,
  Containers: { a: { Name: "a", EndpointID: "e", MacAddress: "", IPv4Address: "", IPv6Address: "" } },
  Options: { "com.docker.network.bridge.name": "br1" },
  Labels: {},
};
const place = { network: "web", endpoint: "e", link: "eth0", hostLink: "v", mac: "", aliases: [] };
const sandbox: SandboxAnswer = {
  name: "a",
  id: "fedcba9876543210".repeat(4),
  created: "2026-01-02T03:04:05.000Z",
  state: "up",
  path: "/run/netns/a",
  adopted: null,
  joined: null,
  hostname: "a",
  exposed: [],
  labels: {},
  networks: [
    { ...place, bandwidth: null, ipv4: "10.1.0.2", ipv6: "fd00:1::2" },
    { ...place, bandwidth: null, network: "six", ipv4: null, ipv6: "fd00:2::2" },
  ],
};

interface Run {
  /** What the daemon was asked. */
  readonly asked: readonly (readonly [path: string, body?: unknown])[];
  /** Lines that were printed. */
  readonly said: readonly string[];
  /** How commander or the command refused it. */
  readonly error: string | undefined;
}

/** Runs a command in this process, beside a daemon that gives these answers. */
async function run(words: string, answers: { get?: unknown; post?: unknown } = {}): Promise<Run> {
  const asked: [string, unknown?][] = [];
  const said: string[] = [];
  const tools: CommandTools = {
    command: (parent, name, description) =>
      parent.command(name).description(description).option("--run-dir <folder>", "", "/run/x").option("--json"),
    get: (_flags, path) => {
      asked.push([path]);
      return Promise.resolve(answers.get);
    },
    post: (_flags, path, body) => {
      asked.push([path, body]);
      return Promise.resolve(answers.post);
    },
    print: (_flags, answer, inWords) => {
      said.push(...inWords(answer));
    },
  };
  const program = new Command().enablePositionalOptions().exitOverride();
  const quiet = { writeOut: () => undefined, writeErr: () => undefined };
  const group = (name: string) => program.command(name).configureOutput(quiet).exitOverride();
  addNetworkCommands(group("network"), tools);
  addSandboxCommands(group("sandbox"), tools);
  for (const command of program.commands.flatMap(({ commands }) => commands))
    command.exitOverride().configureOutput(quiet);
  try {
    await program.parseAsync(words.split(" "), { from: "user" });
    return { asked, said, error: undefined };
  } catch (error) {
    return { asked, said, error: (error as Error).message };
  }
}

const networkDefaults = {
  driver: "bridge",
  subnets: [],
  gateways: [],
  ipRanges: [],
  icc: true,
  masquerade: true,
  snatAddresses: [],
  firewall: true,
  labels: {},
};
const sandboxDefaults = {
  ...{ ips: [], aliases: [], links: [], networks: [], exposed: [], dns: [], dnsSearch: [], dnsOptions: [] },
  ...{ extraHosts: [], labels: {} },
};

t.test("words become what the daemon is asked", async (t) => {
  const cases: [words: string, path: string, body: unknown][] = [
    ["network create web", "/v1/networks", { name: "web", ...networkDefaults }],
    [
      "network create web -d weave -o a=b -o c --ipam-driver dhcp --ipam-opt d=e=f",
      "/v1/networks",
      {
        ...{ name: "web", ...networkDefaults, driver: "weave" },
        ...{ options: { a: "b", c: "" }, ipamDriver: "dhcp", ipamOptions: { d: "e=f" } },
      },
    ],
    [
      "network create web -d bridge --subnet 10.1.0.0/24 --subnet fd00:1::/64 --gateway 10.1.0.9 --ip-range 10.1.0.0/25 " +
        "--ipv6 --internal --icc=false --mtu 1400 --no-masquerade --snat-address 192.0.2.9 --host-binding 192.0.2.1 " +
        "--bridge-name br1 --no-firewall --label a=b=c --label d",
      "/v1/networks",
      {
        name: "web",
        driver: "bridge",
        subnets: ["10.1.0.0/24", "fd00:1::/64"],
        gateways: ["10.1.0.9"],
        ipRanges: ["10.1.0.0/25"],
        ipv6: true,
        internal: true,
        icc: false,
        mtu: 1400,
        masquerade: false,
        snatAddresses: ["192.0.2.9"],
        hostBinding: "192.0.2.1",
        bridge: "br1",
        firewall: false,
        labels: { a: "b=c", d: "" },
      },
    ],
    ["network rm web", "/v1/networks/remove", { name: "web" }],
    [
      "network connect web a",
      "/v1/networks/connect",
      { network: "web", sandbox: "a", ips: [], aliases: [], links: [] },
    ],
    [
      "network connect web a --ip 10.1.0.5 --ip fd00:1::5 --mac 02:00:00:00:00:01 --alias www --link db:pg --ifname lan0 --gw-priority -5",
      "/v1/networks/connect",
      {
        ...{ network: "web", sandbox: "a", ips: ["10.1.0.5", "fd00:1::5"], mac: "02:00:00:00:00:01", aliases: ["www"] },
        ...{ links: ["db:pg"], ifname: "lan0", gatewayPriority: -5 },
      },
    ],
    ["network disconnect web a", "/v1/networks/disconnect", { network: "web", sandbox: "a" }],
    ["sandbox create a", "/v1/sandboxes", { name: "a", ...sandboxDefaults }],
    [
      "sandbox create a --network web --network db --hostname h --expose 80 --expose 53/udp --dns 192.0.2.1 --dns-search x.example " +
        "--dns-opt rotate --add-host db:192.0.2.7 --label k=v --ip 10.1.0.5 --mac 02:00:00:00:00:01 --alias www --link db",
      "/v1/sandboxes",
      {
        ...{ name: "a", networks: ["web", "db"], hostname: "h", exposed: ["80", "53/udp"], dns: ["192.0.2.1"] },
        ...{ dnsSearch: ["x.example"], dnsOptions: ["rotate"], extraHosts: ["db:192.0.2.7"], labels: { k: "v" } },
        ...{ ips: ["10.1.0.5"], mac: "02:00:00:00:00:01", aliases: ["www"], links: ["db"] },
      },
    ],
    ["sandbox adopt a --pid 7", "/v1/sandboxes", { name: "a", adopt: "/proc/7/ns/net", ...sandboxDefaults }],
    ["sandbox adopt a --netns /run/netns/a", "/v1/sandboxes", { name: "a", adopt: "/run/netns/a", ...sandboxDefaults }],
    ["sandbox rm a", "/v1/sandboxes/remove", { name: "a" }],
  ];
  for (const [words, path, body] of cases) {
    const { asked, error } = await run(words, { post: words.startsWith("network") ? network : sandbox });
    t.same([asked, error], [[[path, body]], undefined], words);
  }
});

t.test("answers become words", async (t) => {
  const id = network.Id;
  t.same((await run("network create web", { post: network })).said, [id]);
  t.same((await run("network rm web db", { post: network })).said, ["web", "web"]);
  t.same((await run("network prune", { post: [network] })).said, ["web"]);
  t.same((await run("network connect web a", { post: sandbox })).said, []);
  t.same((await run("network ls", { get: [network, { ...network, Internal: false, Containers: {} }] })).said, [
    "NETWORK ID    NAME  DRIVER  LINK  SUBNETS                   SANDBOXES",
    "0123456789ab  web   bridge  br1   10.1.0.0/24, fd00:1::/64  1          internal",
    "0123456789ab  web   bridge  br1   10.1.0.0/24, fd00:1::/64  0",
  ]);
  const inspected = await run("network inspect web my/net", { get: [network] });
  t.same(inspected.asked, [["/v1/networks?name=web"], ["/v1/networks?name=my%2Fnet"]]);
  t.same(JSON.parse(inspected.said.join("\n")), [network, network]);
  t.same((await run("sandbox create a", { post: sandbox })).said, [sandbox.id]);
  t.same((await run("sandbox rm a b", { post: sandbox })).said, ["a", "a"]);
  t.same((await run("sandbox ls", { get: [sandbox, { ...sandbox, state: "gone", networks: [] }] })).said, [
    "SANDBOX ID    NAME  STATE  NETWORKS",
    "fedcba987654  a     up     web 10.1.0.2, six fd00:2::2",
    "fedcba987654  a     gone   none",
  ]);
  t.same((await run("sandbox env a", { get: ["DB_NAME=/a/db"] })).said, ["DB_NAME=/a/db"]);
  t.same(JSON.parse((await run("sandbox inspect a", { get: [sandbox] })).said.join("\n")), [sandbox]);
});

t.test("wrong usage never reaches the daemon", async (t) => {
  const cases: [words: string, error: RegExp][] = [
    ["network create", /missing required argument 'name'/],
    ["network create web --mtu much", /'--mtu <bytes>' argument 'much' is invalid\. it is a whole number\./],
    ["network create web --mtu 1400.5", /it is a whole number/],
    ["network create web --icc maybe", /it is true or false/],
    [
      "network create web --label =b",
      /^error: option '--label <key=value>' argument '=b' is invalid\. it has no key\.$/,
    ],
    ["sandbox create a --label =", /it has no key/],
    ["network create web --colour red", /unknown option/],
    ["network connect web", /missing required argument 'sandbox'/],
    ["network connect web a --gw-priority high", /it is a whole number/],
    ["network rm", /missing required argument/],
    ["sandbox adopt a", /give one of --pid, --netns and --container$/],
    ["sandbox adopt a --pid 7 --netns /run/netns/a", /give one of --pid, --netns and --container$/],
    ["sandbox exec a", /missing required argument 'program'/],
  ];
  for (const [words, error] of cases) {
    const ran = await run(words);
    t.match(ran.error, error, words);
    t.same(ran.asked, [], words);
  }
});
