import { median } from "./statistics.js";

/** How often contenders take turns. */
export interface RoundsOptions {
  readonly rounds: number;
  /** Told before each turn. */
  readonly onTurn?: (name: string, round: number) => void;
}

/** What each contender came to, round by round. */
export type Rounds<Result> = ReadonlyMap<string, readonly Result[]>;

/**
 * Lets contenders take turns: all of them in each round, each round begun by another, so that what drifts on the
 * machine meets all alike.
 */
export async function takeTurns<Contender extends { readonly name: string }, Result>(
  contenders: readonly Contender[],
  turn: (contender: Contender) => Promise<Result>,
  options: RoundsOptions,
): Promise<Rounds<Result>> {
  const results = new Map<string, Result[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round < options.rounds; round++) {
    for (let place = 0; place < contenders.length; place++) {
      const contender = contenders[(round + place) % contenders.length]!;
      options.onTurn?.(contender.name, round);
      results.get(contender.name)!.push(await turn(contender));
    }
  }
  return results;
}

/** One contender's figure beside another's. */
export interface Comparison {
  /** Medians over the rounds. */
  readonly figure: number;
  readonly other: number;
  /** The figure divided by the other's in the same round: the median of that over the rounds, and its extremes. */
  readonly ratio: number;
  readonly lowest: number;
  readonly highest: number;
}

/** Compares two contenders round by round. */
export function compare<Result>(
  rounds: Rounds<Result>,
  name: string,
  other: string,
  figureOf: (result: Result) => number,
): Comparison {
  const [ours, theirs] = [name, other].map((each) => rounds.get(each)!.map(figureOf)) as [number[], number[]];
  const ratios = ours.map((figure, round) => figure / theirs[round]!);
  return {
    figure: median(ours),
    other: median(theirs),
    ratio: median(ratios),
    lowest: Math.min(...ratios),
    highest: Math.max(...ratios),
  };
}
