// `npm run bench -- dns`: pontoon beside Docker's own resolver, dnsmasq and aardvark-dns, and what else it promises.
import { DockerHost } from "../integration/host/index.js";
import { Cleanup } from "./cleanup.js";
import { measureFairness } from "./fairness.js";
import { describeMachine, type Machine } from "./machine.js";
import { together, type Bench, type Outcome } from "./measure.js";
import { measureMemory } from "./memory.js";
import { measureOnSite } from "./on-site.js";
import { readOptions, usage, UsageError, type MeasureName, type Options } from "./options.js";
import { Progress } from "./progress.js";
import { writeResults } from "./results.js";
import { measureRunning } from "./running.js";
import { measureTableSize } from "./table-size.js";
import { goalsTable } from "./table.js";

/** Each has a host of its own, and makes those of its measures that are wanted. */
const parts: readonly { readonly makes: readonly MeasureName[]; readonly run: (bench: Bench) => Promise<Outcome> }[] = [
  { makes: ["local", "upstream", "p99", "starts", "changes"], run: measureOnSite },
  { makes: ["table", "churn"], run: measureTableSize },
  { makes: ["fairness"], run: measureFairness },
  { makes: ["memory"], run: measureMemory },
  { makes: ["running"], run: measureRunning },
];

const progress = new Progress();
const cleanup = new Cleanup();

try {
  const options = readOptions(process.argv.slice(2));
  await run(options);
} catch (error) {
  if (!cleanup.interrupted) fail(error);
}
if (!cleanup.interrupted) {
  await cleanup.run();
  process.exit();
}

async function run(options: Options): Promise<void> {
  const machine = await cleanup.part(async (undo): Promise<Machine> => describeMachine(await DockerHost.start(undo)));
  const outcomes: Outcome[] = [];
  for (const { makes, run } of parts)
    if (makes.some((measure) => options.only.includes(measure))) outcomes.push(await cleanup.part((undo) => run({ options, progress, undo })));
  const outcome = together(outcomes);
  progress.clear();
  for (const table of outcome.tables) process.stdout.write(`${table}\n\n`);
  process.stdout.write(`${goalsTable(outcome.rows)}\n\n`);
  const file = writeResults("dns", { benchmark: "dns", machine, options, goals: outcome.rows, ...outcome.data });
  process.stdout.write(`${machine.cores} cores, Linux ${machine.kernel}; all rounds in ${file}\n`);
}

function fail(error: unknown): void {
  progress.clear();
  const message = error instanceof Error ? error.message : String(error);
  const isUsage = error instanceof UsageError;
  process.stderr.write(`bench: ${message}\n${isUsage ? `${usage}\n` : ""}`);
  process.exitCode = isUsage ? 2 : 1;
}
