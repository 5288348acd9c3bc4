/** A question, and the data its answer must hold. */
export interface Question {
  readonly name: string;
  readonly type: string;
  readonly expected: string;
}

/** Something with a name and addresses. */
export interface Named {
  readonly name: string;
  readonly ip: string;
  readonly ip6: string;
}

/** Questions, and the same as dnsperf reads them. */
export interface QuestionSet {
  readonly questions: readonly Question[];
  /** A path inside the host. */
  readonly file: string;
}

/** Of ten questions. No PTR: aardvark-dns 1.4 answers it and then forwards it all the same, which would flatter the others. */
const typesOfTen = { A: 7, AAAA: 3 };

/** Every name in turn is asked for with each type as often as that type's share says. */
export function questionsFor(named: readonly Named[]): Question[] {
  const types = Object.entries(typesOfTen).flatMap(([type, count]) => Array.from({ length: count }, () => type));
  // Each type goes on where it was with another name, so that neighbours in the list differ in both.
  return types.flatMap((_, step) =>
    named.map((each, index) => questionFor(each, types[(step + index) % types.length]!)),
  );
}

/** Lines as dnsperf reads them. */
export function questionLines(questions: readonly Question[]): string {
  return questions.map(({ name, type }) => `${name} ${type}\n`).join("");
}

function questionFor({ name, ip, ip6 }: Named, type: string): Question {
  return { name, type, expected: type === "A" ? ip : ip6 };
}
