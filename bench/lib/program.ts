import { UsageError } from "./command-line.js";
import { Cleanup, type Undo } from "./cleanup.js";
import type { Machine } from "./machine.js";
import { together, type Bench, type Outcome } from "./measure.js";
import { Progress } from "./progress.js";
import { writeResults } from "./results.js";
import { goalsTable } from "./table.js";

/** One benchmark. */
export interface Benchmark<Name extends string, Chosen extends { readonly only: readonly Name[] }> {
  /** On the command line and in the results file's name. */
  readonly name: string;
  readonly usage: string;
  /** Throws a UsageError. */
  readonly readOptions: (args: readonly string[]) => Chosen;
  readonly describeMachine: (undo: Undo) => Promise<Machine>;
  /** Each makes those of its measures that are wanted, and leaves nothing behind. */
  readonly parts: readonly {
    readonly makes: readonly Name[];
    readonly run: (bench: Bench<Chosen>) => Promise<Outcome>;
  }[];
}

/** Runs a benchmark as a program: from the command line to the table and the exit code. Ends the process. */
export async function runProgram<Name extends string, Chosen extends { readonly only: readonly Name[] }>(
  benchmark: Benchmark<Name, Chosen>,
): Promise<void> {
  const [progress, cleanup] = [new Progress(), new Cleanup()];
  try {
    await run(benchmark, progress, cleanup);
  } catch (error) {
    if (!cleanup.interrupted) fail(error, benchmark.usage, progress);
  }
  if (cleanup.interrupted) return;
  await cleanup.run();
  process.exit();
}

async function run<Name extends string, Chosen extends { readonly only: readonly Name[] }>(
  { name, readOptions, describeMachine, parts }: Benchmark<Name, Chosen>,
  progress: Progress,
  cleanup: Cleanup,
): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  const machine = await cleanup.part(describeMachine);
  const outcomes: Outcome[] = [];
  for (const { makes, run } of parts)
    if (makes.some((measure) => options.only.includes(measure)))
      outcomes.push(await cleanup.part((undo) => run({ options, progress, undo })));
  const outcome = together(outcomes);
  progress.clear();
  for (const table of outcome.tables) process.stdout.write(`${table}\n\n`);
  process.stdout.write(`${goalsTable(outcome.rows)}\n\n`);
  const file = writeResults(name, { benchmark: name, machine, options, goals: outcome.rows, ...outcome.data });
  process.stdout.write(`${machine.cores} cores, Linux ${machine.kernel}; all rounds in ${file}\n`);
}

function fail(error: unknown, usage: string, progress: Progress): void {
  progress.clear();
  const message = error instanceof Error ? error.message : String(error);
  const isUsage = error instanceof UsageError;
  process.stderr.write(`bench: ${message}\n${isUsage ? `${usage}\n` : ""}`);
  process.exitCode = isUsage ? 2 : 1;
}
