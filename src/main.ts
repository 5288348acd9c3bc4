// The pontoon command. Each part is loaded when it is used: `pontoon status` needs neither Docker nor system calls.
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { describeError, PontoonError } from "./errors.js";
import { version } from "./version.js";

interface GlobalOptions {
  readonly runDir: string;
  readonly json?: boolean;
}

interface DaemonFlags {
  readonly docker?: string;
  readonly config?: string;
  readonly observe?: boolean;
  readonly logLevel?: string;
  readonly runDir: string;
}

const program = new Command("pontoon")
  .description("Names, published ports and networks for a Docker host, beside an unmodified dockerd.")
  .version(version)
  .exitOverride()
  .showHelpAfterError("(pontoon --help shows what there is)");

program
  .command("daemon")
  .description("run the daemon in the foreground")
  .option("--docker <address>", "the dockerd to follow, as DOCKER_HOST may hold it")
  .option("--config <file>", "configuration file (default: /etc/pontoon/pontoon.yaml, if it is there)")
  .addOption(runDirOption())
  .addOption(new Option("--state-dir <folder>", "folder for what outlives a restart").default("/var/lib/pontoon"))
  .option("--observe", "take over nothing; only show what would be done")
  .addOption(new Option("--log-level <level>", "how much to log").choices(["trace", "debug", "info", "warn", "error", "fatal", "silent"]))
  .action(runDaemon);

command(program, "status", "show networks, containers, who answers in each, upstreams and counters").action(async (options: GlobalOptions) => {
  const { statusText } = await import("./cli/status-text.js");
  print(options, await (await client(options)).get("/v1/status"), statusText);
});

command(program, "check", "look at this machine, dockerd and what runs, and say what stops pontoon from working")
  .option("--docker <address>", "the dockerd to look at (default: the one a running daemon follows)")
  .option("--config <file>", "configuration file (default: /etc/pontoon/pontoon.yaml, if it is there)")
  .option("--repair", "remove what earlier daemons left behind")
  .action(async (options: GlobalOptions & { docker?: string; config?: string; repair?: boolean }) => {
    const [{ check }, { checkText }] = await Promise.all([import("./check/check.js"), import("./cli/check-text.js")]);
    const { runDir, docker, config, repair = false } = options;
    const result = await check({ runDir, docker, config, repair });
    print(options, result, checkText);
    if (!result.well) process.exitCode = 1;
  });

const dns = program.command("dns").description("look at the resolver");

command(dns, "records", "show every name pontoon answers").action(async (options: GlobalOptions) => {
  const { recordsText } = await import("./cli/dns.js");
  print(options, await (await client(options)).get("/v1/dns/records"), recordsText);
});

command(dns, "query", "ask the running server as a container would, and explain the answer")
  .argument("<name>", "the name to ask for")
  .argument("[type]", "the record type", recordType, "A")
  .requiredOption("--as <container>", "the container to ask as: its name or id")
  .action(async (name: string, type: string, options: GlobalOptions & { as: string }) => {
    const { encodeQuestion, explainedAnswer, explainedText } = await import("./cli/dns.js");
    const query = encodeQuestion(name, type);
    const explanation = await (await client(options)).post("/v1/dns/query", { container: options.as, query });
    print(options, explainedAnswer(`${name} ${type}`, explanation as Parameters<typeof explainedAnswer>[1]), explainedText);
  });

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
}

/** A subcommand that speaks with the daemon. */
function command(parent: Command, name: string, description: string): Command {
  return parent.command(name).description(description).addOption(runDirOption()).option("--json", "print JSON");
}

function runDirOption(): Option {
  return new Option("--run-dir <folder>", "folder of the daemon's sockets").default("/run/pontoon");
}

function recordType(value: string): string {
  if (!/^[A-Za-z0-9]+$/.test(value)) throw new InvalidArgumentError("a record type is a word such as A, AAAA, PTR or SRV.");
  return value.toUpperCase();
}

async function client({ runDir }: GlobalOptions) {
  const { ControlClient } = await import("./cli/client.js");
  return new ControlClient(`${runDir}/control.sock`);
}

function print<Data>(options: GlobalOptions, data: unknown, text: (data: Data) => string): void {
  process.stdout.write(`${options.json ? JSON.stringify(data, undefined, 2) : text(data as Data)}\n`);
}

async function runDaemon(flags: DaemonFlags): Promise<void> {
  const [{ loadConfig }, { Daemon }] = await Promise.all([import("./config.js"), import("./daemon.js")]);
  const config = loadConfig(flags.config);
  const daemon = new Daemon({
    config,
    dockerHost: flags.docker ?? config.docker ?? (process.env.DOCKER_HOST || "unix:///var/run/docker.sock"),
    runDir: flags.runDir,
    observe: flags.observe ?? config.observe,
    logLevel: flags.logLevel ?? config["log-level"],
    watchLoop: process.env.PONTOON_WATCH_LOOP === "1",
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => void daemon.stop().then(() => process.exit(0)));
  process.on("SIGUSR2", () => void daemon.leave().then(() => process.exit(0))); // of systemd, for a restart: packaging/pontoon.service
  try {
    await daemon.start();
  } catch (error) {
    process.exit(exitCodeOf(error)); // what had been started by then would keep the process alive
  }
}

/** One line on stderr: what, why, what to do. 1 for what was refused or failed, 2 for wrong usage. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2; // it has printed its own line
  const message = describeError(error);
  process.stderr.write(`pontoon: ${message}\n`);
  if (!(error instanceof PontoonError) && error instanceof Error && process.env.PONTOON_DEBUG === "1") process.stderr.write(`${error.stack}\n`);
  return 1;
}
