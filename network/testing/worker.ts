// The backend's work in a process of its own, so that a test may have it end before any step. Requests come on lines of standard
// input, and what they come to is told on lines of standard output.
import { createInterface } from "node:readline";
import { describeError } from "../../common/errors.js";
import { killAtStep } from "../fault.js";
import type { Outcome, Request } from "../protocol.js";
import { Work } from "../work.js";

/** Asked of the worker beside what the daemon asks of the backend. */
export type WorkerRequest = Request | { readonly kind: "delete-retired" };

/** An outcome as JSON has it. */
export interface WorkerOutcome extends Omit<Outcome, "inodes"> {
  readonly inodes: Readonly<Record<string, number>>;
  /** How many times links were retired. */
  readonly retired: number;
}

if (process.argv[1] === new URL(import.meta.url).pathname) serve();

function serve(): void {
  let retired = 0;
  const work = new Work(
    { ...killAtStep(process.env.PONTOON_KILL_AT_STEP), onRetired: () => retired++ },
    { mayForward: true },
  );
  const answer = async (request: WorkerRequest): Promise<Outcome> => {
    if (request.kind !== "delete-retired") return work.do(request);
    await work.deleteRetiredAside();
    return { failures: [], inodes: new Map(), steps: 0, notes: [] };
  };
  const lines = createInterface({ input: process.stdin });
  const serveOne = async (line: string) => {
    try {
      const outcome = await answer(JSON.parse(line) as WorkerRequest);
      const told: WorkerOutcome = { ...outcome, inodes: Object.fromEntries(outcome.inodes), retired };
      process.stdout.write(`${JSON.stringify(told)}\n`);
    } catch (error) {
      process.stdout.write(`${JSON.stringify({ fault: describeError(error) })}\n`);
    }
  };
  let last = Promise.resolve();
  lines.on("line", (line) => {
    last = last.then(() => serveOne(line));
  });
  lines.on("close", () => void last.then(() => work.close()));
}
