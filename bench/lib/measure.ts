import type { Undo } from "./cleanup.js";
import type { Row } from "./goals.js";
import type { Options } from "../dns/options.js";
import type { Progress } from "./progress.js";

/** What every measure is given: of the options what its benchmark has. */
export interface Bench<Chosen = Options> {
  readonly options: Chosen;
  readonly progress: Progress;
  /** Told what to undo when the measure is over. */
  readonly undo: Undo;
}

/** What a measure came to. */
export interface Outcome {
  readonly rows: readonly Row[];
  /** Further tables for people. */
  readonly tables: readonly string[];
  /** Everything that was measured, by name, for the results file. */
  readonly data: Readonly<Record<string, unknown>>;
}

/** Several outcomes as one. */
export function together(outcomes: readonly Outcome[]): Outcome {
  return {
    rows: outcomes.flatMap(({ rows }) => rows),
    tables: outcomes.flatMap(({ tables }) => tables),
    data: Object.assign({}, ...outcomes.map(({ data }) => data)) as Outcome["data"],
  };
}
