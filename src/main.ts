// The pontoon command. Each part is loaded when it is used: `pontoon status` needs neither Docker nor system calls.
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import {
  checkFlags,
  daemonFlags,
  globalFlags,
  logLevels,
  portFlags,
  publishFlags,
  queryFlags,
  traceFlags,
  type DaemonFlags,
  type GlobalFlags,
} from "./cli/flags.js";
import { writeJson, writeLines, writeProblem, writeText, writeUsage } from "./cli/output.js";
import type { CommandTools } from "./cli/command-tools.js";
import type { Config } from "./config.js";
import type { PortRow } from "./ports/contract.js";
import { canonicalAddress } from "../common/address.js";
import { describeError, errorCode, PontoonError } from "../common/errors.js";
import { version } from "./version.js";

const program = new Command("pontoon")
  .description("Names, published ports and networks for a Docker host, beside an unmodified dockerd.")
  .version(version)
  .exitOverride()
  .enablePositionalOptions() // what stands behind a program that is run in a sandbox is that program's
  .configureOutput({ writeOut: writeText, writeErr: writeUsage })
  .showHelpAfterError("(pontoon --help shows what there is)");

program
  .command("daemon")
  .description("run the daemon in the foreground")
  .option("--docker <address>", "the dockerd to follow, as DOCKER_HOST may hold it; none to run without Docker")
  .option("--config <file>", "configuration file (default: /etc/pontoon/pontoon.yaml, if it is there)")
  .addOption(runDirOption())
  .addOption(new Option("--state-dir <folder>", "folder for what outlives a restart").default("/var/lib/pontoon"))
  .option("--store <where>", "embedded, or etcd://HOST:2379,… to share networks with other hosts")
  .option("--advertise <address>", "where other hosts reach this one (default: the address of the default route)")
  .option("--no-firewall", "leave the host's firewall rules alone for every network")
  .option("--observe", "take over nothing; only show what would be done")
  .addOption(new Option("--log-level <level>", "how much to log").choices(logLevels))
  .action((given: unknown) => runDaemon(daemonFlags(given)));

command(program, "status", "show networks, containers, who answers in each, upstreams and counters").action(
  async (given: unknown) => {
    const flags = globalFlags(given);
    const [{ statusAnswer }, { statusText }] = await Promise.all([answers(), import("./cli/status-text.js")]);
    print(flags, statusAnswer(await (await client(flags)).get("/v1/status")), statusText);
  },
);

command(program, "check", "look at this machine, dockerd and what runs, and say what stops pontoon from working")
  .option("--docker <address>", "the dockerd to look at (default: the one a running daemon follows)")
  .option("--config <file>", "configuration file (default: /etc/pontoon/pontoon.yaml, if it is there)")
  .option("--state-dir <folder>", "folder for what outlives a restart (default: that of the daemon)")
  .option("--repair", "remove what earlier daemons left behind")
  .action(async (given: unknown) => {
    const [{ check }, { checkText }] = await Promise.all([import("./check/check.js"), import("./cli/check-text.js")]);
    const flags = checkFlags(given);
    const { runDir, stateDir, docker, config, repair = false } = flags;
    const result = await check({ runDir, stateDir, docker, config, repair });
    print(flags, result, checkText);
    if (!result.well) process.exitCode = 1;
  });

command(program, "trace", "follow the first packet from one to another, and say where it ends and what to change")
  .argument("<from>", "who sends it: a container, a sandbox, host, or an address outside")
  .argument("<to>", "for whom: the same, or a name, as TO[:PORT[/udp]]; a ping without a port")
  .option("--docker <address>", "the dockerd to ask where no daemon runs")
  .option("--probe", "send a real packet as well, and say whether it does what was reasoned")
  .action(async (from: string, to: string, given: unknown, self: Command) => {
    const flags = traceFlags(given);
    const [{ parseGoal }, { trace }, { traceText }] = await Promise.all([
      import("./trace/goal-words.js"),
      import("./trace/trace.js"),
      import("./cli/trace-text.js"),
    ]);
    const goal = parseGoal(to);
    if (!goal)
      return self.error(`error: ${to} cannot be traced: write NAME, NAME:80, NAME:53/udp or [::1]:80`, { exitCode: 2 });
    const { runDir, docker, probe = false } = flags;
    const result = await trace({ runDir, docker, from, to: goal, toText: to, probe });
    print(flags, result, traceText);
    if (!result.end.arrives) process.exitCode = 1;
  });

const dns = program.command("dns").description("look at the resolver");

command(dns, "records", "show every name pontoon answers").action(async (given: unknown) => {
  const flags = globalFlags(given);
  const [{ recordsAnswer }, { recordsText }] = await Promise.all([answers(), import("./cli/dns.js")]);
  print(flags, recordsAnswer(await (await client(flags)).get("/v1/dns/records")), recordsText);
});

command(dns, "query", "ask the running server as a container would, and explain the answer")
  .argument("<name>", "the name to ask for")
  .argument("[type]", "the record type", recordType, "A")
  .requiredOption("--as <container>", "the container to ask as: its name or id")
  .action(async (name: string, type: string, given: unknown) => {
    const flags = queryFlags(given);
    const [{ explanationAnswer }, { encodeQuestion, explainedAnswer, explainedText }] = await Promise.all([
      answers(),
      import("./cli/dns.js"),
    ]);
    const query = encodeQuestion(name, type);
    const explanation = await (await client(flags)).post("/v1/dns/query", { container: flags.as, query });
    print(flags, explainedAnswer(`${name} ${type}`, explanationAnswer(explanation)), explainedText);
  });

command(dns, "flush", "forget what upstream servers have answered")
  .argument("[name]", "the name to forget; every name without")
  .action(async (name: string | undefined, given: unknown) => {
    const flags = globalFlags(given);
    const [{ flushAnswer }, { flushRequest, flushText }] = await Promise.all([answers(), import("./cli/dns.js")]);
    print(flags, flushAnswer(await (await client(flags)).post("/v1/dns/flush", flushRequest(name))), flushText);
  });

const specSyntax = "[IP:][HOST:]PORT[/tcp|udp|sctp], as for docker run -p; ports may be ranges";

const publish = command(program, "publish", "publish ports of a container, running or not; all of them or none")
  .argument("<container>", "the container: its name or id")
  .argument("[spec...]", specSyntax)
  .option("-P, --all", "publish every exposed port on a free one");
// Only this command has so many options that they are worth loading for it alone; `pontoon help publish` shows them, too.
if (process.argv.includes("publish")) {
  const { publishOptions } = await import("./cli/publish-options.js");
  for (const option of publishOptions()) publish.addOption(option);
}
publish.action(async (container: string, specs: string[], given: unknown, self: Command) => {
  const flags = publishFlags(given);
  if (specs.length === 0 && !flags.all)
    self.error("error: what to publish is missing: give a port such as 8080:80, or --all", { exitCode: 2 });
  const { lineText, publishRequest } = await import("./cli/ports.js");
  const request = publishRequest(container, specs, flags);
  printLines(flags, await rowsOf((await client(flags)).post("/v1/ports/publish", request)), lineText);
});

command(program, "unpublish", "take back ports that pontoon publish published")
  .argument("<container>", "the container: its name or id")
  .argument("[spec...]", "as given to publish, or only the container's port; none for all of the container")
  .action(async (container: string, specs: string[], given: unknown) => {
    const flags = globalFlags(given);
    const { lineText, unpublishRequest } = await import("./cli/ports.js");
    const request = unpublishRequest(container, specs);
    printLines(flags, await rowsOf((await client(flags)).post("/v1/ports/unpublish", request)), lineText);
  });

command(program, "port", "show published ports, Docker's own included")
  .argument("[container]", "the container: its name or id; all without")
  .argument("[port]", "only where this port of the container is published: PORT[/PROTO]")
  .option("--long", "a table with state, target, connections and bytes")
  .action(async (container: string | undefined, port: string | undefined, given: unknown) => {
    const flags = portFlags(given);
    const { addressText, failedText, isBound, lineText, longText, namedLineText, portsPath, rowsOfPort } =
      await import("./cli/ports.js");
    const all = await rowsOf((await client(flags)).get(portsPath(container)));
    const rows = container === undefined || port === undefined ? all : rowsOfPort(all, container, port);
    if (flags.json || flags.long) return print(flags, rows, longText);
    const text = port !== undefined ? addressText : container !== undefined ? lineText : namedLineText;
    printLines(flags, rows.filter(isBound), text);
    for (const row of rows) if (!isBound(row)) writeProblem(failedText(row));
  });

// Commands with so many options are loaded when one of them is called, or help is asked for.
for (const [name, description] of [
  ["network", "make and look at networks of pontoon's own"],
  ["sandbox", "make and look at network namespaces that are on them"],
  ["host", "look at hosts that share networks with this one"],
] as const) {
  const parent = program.command(name).description(description).enablePositionalOptions();
  if (!process.argv.includes(name)) continue;
  if (name === "network") (await import("./cli/network-commands.js")).addNetworkCommands(parent, tools());
  else if (name === "host") (await import("./cli/host-commands.js")).addHostCommands(parent, tools());
  else (await import("./cli/sandbox-commands.js")).addSandboxCommands(parent, tools());
}

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
}

/** A subcommand that speaks with the daemon. */
function command(parent: Command, name: string, description: string): Command {
  return parent.command(name).description(description).addOption(runDirOption()).option("--json", "print JSON");
}

function tools(): CommandTools {
  return {
    command,
    get: async (flags, path) => (await client(flags)).get(path),
    post: async (flags, path, body) => (await client(flags)).post(path, body),
    print,
  };
}

function runDirOption(): Option {
  return new Option("--run-dir <folder>", "folder of the daemon's sockets").default("/run/pontoon");
}

function recordType(value: string): string {
  if (!/^[A-Za-z0-9]+$/.test(value))
    throw new InvalidArgumentError("a record type is a word such as A, AAAA, PTR or SRV.");
  return value.toUpperCase();
}

async function client({ runDir }: GlobalFlags) {
  const { ControlClient } = await import("./control/client.js");
  return new ControlClient(`${runDir}/control.sock`);
}

/** What the daemon's answers are read with. */
function answers() {
  return import("./control/answers.js");
}

async function rowsOf(answer: Promise<unknown>): Promise<readonly PortRow[]> {
  const [{ portsAnswer }, rows] = await Promise.all([answers(), answer]);
  return portsAnswer(rows);
}

function print<Data>({ json }: GlobalFlags, data: Data, text: (data: Data) => readonly string[]): void {
  if (json) writeJson(data);
  else writeLines(text(data));
}

/** A line for each row, and nothing at all for none, as `docker port` does. */
function printLines(flags: GlobalFlags, rows: readonly PortRow[], text: (row: PortRow) => string): void {
  print(flags, rows, (data) => data.map(text));
}

async function runDaemon(flags: DaemonFlags): Promise<void> {
  const [{ loadConfig }, { Daemon }, { createLog }, { hasTerminal }] = await Promise.all([
    import("./config.js"),
    import("./daemon.js"),
    import("./log.js"),
    import("../linux/terminal.js"),
  ]);
  const configNow = (): Config => withFlags(loadConfig(flags.config), flags);
  const config = configNow();
  const log = createLog(config["log-level"]);
  const end = (code: number) => log.end().then(() => process.exit(code)); // what had been started by then would keep the process alive
  // Node would print both on stderr, past the log, and set O_NONBLOCK there for whoever shares it.
  process
    .removeAllListeners("warning")
    .on("warning", ({ name, message }) => log.logger.warn({ name, reason: message }, "Node warns"));
  process.on("uncaughtException", (error) => {
    log.logger.fatal(
      { reason: describeError(error), stack: error.stack },
      "the daemon ends, since something unforeseen failed",
    );
    void end(1);
  });
  const isAlone = config.store === "embedded";
  const cluster = isAlone ? undefined : (await import("./cluster-maker.js")).clusterMaker(config, log.logger);
  const daemon = new Daemon({
    config,
    cluster,
    dockerHost: config.docker ?? (process.env.DOCKER_HOST || "unix:///var/run/docker.sock"),
    runDir: flags.runDir,
    stateDir: flags.stateDir,
    log: log.logger,
    watchLoop: process.env.PONTOON_WATCH_LOOP === "1",
  });
  const stop = () => void daemon.stop().then(() => end(0));
  process.on("SIGINT", stop).on("SIGTERM", stop);
  const hadTerminal = hasTerminal();
  process.on("SIGHUP", () => {
    if (hadTerminal && !hasTerminal()) return stop(); // it was closed: nobody would see the daemon any more
    try {
      daemon.reload(configNow());
    } catch (error) {
      log.logger.error(
        { code: errorCode(error), reason: describeError(error) },
        "the configuration cannot be used; the one that was read before stays in effect",
      );
    }
  });
  process.on("SIGUSR2", () => void daemon.leave().then(() => end(0))); // of systemd, for a restart: packaging/pontoon.service
  try {
    await daemon.start();
  } catch (error) {
    await end(exitCodeOf(error));
  }
}

/** Throws ADVERTISE_INVALID. */
function addressGiven(text: string): string {
  const address = canonicalAddress(text);
  if (address !== undefined) return address;
  throw new PontoonError(
    "ADVERTISE_INVALID",
    text,
    `${text} is not an address; give --advertise the IPv4 or IPv6 address at which other hosts reach this one`,
  );
}

/** What flags say counts, whatever the file does. */
function withFlags(config: Config, flags: DaemonFlags): Config {
  const { docker, observe, logLevel, firewall, store, advertise } = flags;
  return {
    ...config,
    ...(store !== undefined && { store }),
    ...(advertise !== undefined && { advertise: addressGiven(advertise) }),
    ...(docker !== undefined && { docker }),
    ...(observe !== undefined && { observe }),
    ...(logLevel !== undefined && { "log-level": logLevel }),
    ...(!firewall && { network: { ...config.network, iptables: false } }),
  };
}

/** One line on stderr: what, why, what to do. 1 for what was refused or failed, 2 for wrong usage. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2; // it has printed its own line
  writeProblem(describeError(error));
  if (!(error instanceof PontoonError) && error instanceof Error && process.env.PONTOON_DEBUG === "1")
    writeUsage(`${error.stack}\n`);
  return 1;
}
