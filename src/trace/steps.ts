/** What a step means for the packet. `warns`: it goes on, but somebody should know. */
export type Verdict = "passes" | "warns" | "stops";

/** What a step is about, in the order in which a packet meets them. */
export type StepKind =
  | "name"
  | "port"
  | "route"
  | "link"
  | "bridge"
  | "source check"
  | "forwarding"
  | "rules"
  | "conntrack"
  | "proxy"
  | "mtu"
  | "listener"
  | "answer"
  | "probe";

/** One thing that was found on the packet's way. */
export interface Step {
  readonly kind: StepKind;
  readonly verdict: Verdict;
  /** The network namespace it was found in, as people call it: `app`, `host`. */
  readonly where: string;
  readonly text: string;
  /** Whose it is, where that says something: `Docker`, `ufw`. */
  readonly whose?: string;
}

/** Where the packet's way ends. */
export interface End {
  readonly arrives: boolean;
  readonly where: string;
  readonly why: string;
  /** What to do, a command where one does it. */
  readonly remedy?: string;
}

/** What `pontoon trace --json` prints. */
export interface Trace {
  readonly from: string;
  readonly to: string;
  /** The address that the sender's packet goes to; left out when there is none. */
  readonly sentTo?: string;
  readonly steps: readonly Step[];
  readonly end: End;
}

/** Thrown where a packet's way ends before its goal. */
export class Stopped extends Error {
  constructor(readonly end: End) {
    super(end.why);
  }
}

/** Notes steps as they are found. */
export class Trail {
  readonly steps: Step[] = [];
  /** What somebody should know of a packet that arrives. */
  readonly #worries: { why: string; remedy?: string }[] = [];

  passes(kind: StepKind, where: string, text: string, whose?: string): void {
    this.#note("passes", kind, where, text, whose);
  }

  /** @param remedy what the end says to do, should nothing worse follow */
  warns(kind: StepKind, where: string, text: string, more: { whose?: string; remedy?: string } = {}): void {
    this.#note("warns", kind, where, text, more.whose);
    this.#worries.push({ why: text, ...(more.remedy !== undefined && { remedy: more.remedy }) });
  }

  stops(kind: StepKind, where: string, text: string, more: { whose?: string; remedy?: string } = {}): never {
    this.#note("stops", kind, where, text, more.whose);
    throw new Stopped({ arrives: false, where, why: text, ...(more.remedy !== undefined && { remedy: more.remedy }) });
  }

  /** The end of a packet that arrives. */
  arrived(where: string, why: string): End {
    const but = this.#worries.map((worry) => `; but ${worry.why}`).join("");
    const remedy = this.#worries.find((worry) => worry.remedy !== undefined)?.remedy;
    return { arrives: true, where, why: `${why}${but}`, ...(remedy !== undefined && { remedy }) };
  }

  #note(verdict: Verdict, kind: StepKind, where: string, text: string, whose: string | undefined): void {
    this.steps.push({ kind, verdict, where, text, ...(whose !== undefined && { whose }) });
  }
}
