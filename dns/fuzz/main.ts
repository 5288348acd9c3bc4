// The mutation fuzzer: `node dist/dns/fuzz/main.js [--seed N] [--rounds N] [--round N]`.
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { FuzzFault, Harness } from "./harness.js";

const { values } = parseArgs({
  options: { seed: { type: "string" }, rounds: { type: "string", default: "1000000" }, round: { type: "string" } },
  strict: true,
});
const seed = number("seed", values.seed ?? String(randomInt(2 ** 31)));
const only = values.round === undefined ? undefined : number("round", values.round);
const rounds = number("rounds", values.rounds);

const harness = new Harness(seed);
process.stdout.write(`seed ${seed}\n`);
let slowest = { took: 0, round: 0 };
try {
  for (let round = only ?? 0; round < (only === undefined ? rounds : only + 1); round++) {
    const began = performance.now();
    harness.run(round);
    const took = performance.now() - began;
    if (took > slowest.took) slowest = { took, round };
  }
} catch (error) {
  if (!(error instanceof FuzzFault)) throw error;
  process.stdout.write(
    `round ${error.round}: ${error.message}\n${error.cause instanceof Error ? `${error.cause.stack}\n` : ""}`,
  );
  process.exitCode = 1;
}
process.stdout.write(
  `${JSON.stringify(harness.tally)}\nslowest: ${slowest.took.toFixed(1)} ms, round ${slowest.round}\n`,
);
harness.close();

function number(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  process.stderr.write(`--${name} takes a whole number, not ${text}\n`);
  process.exit(2);
}
