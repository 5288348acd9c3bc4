import { keyOfText, textOfKey, type NameKey } from "../wire/name.js";
import { STALE_TTL, type Forwarder, type ForwardedAnswer, type ForwardedQuestion } from "./forwarder.js";
import { TYPE } from "../wire/query.js";
import { encodeName, type AnswerRecord } from "../wire/records.js";
import type { Sandbox } from "../sandbox.js";
import { addressesIn } from "../wire/stored-reply.js";
import { HEADER_SIZE } from "../wire/query.js";

/** A single label found under a suffix: a CNAME to the full name, then its addresses of the type asked for. */
export interface Found {
  readonly records: readonly AnswerRecord[];
  readonly answer: ForwardedAnswer & { kind: "reply" };
}

interface Candidate {
  readonly key: NameKey;
  /** What is known of it: A, AAAA. */
  readonly answers: (ForwardedAnswer | undefined)[];
}

const families = [TYPE.A, TYPE.AAAA] as const;
const suffixesAtMost = 6; // as the C library's MAXDNSRCH
/** TTL of an alias to a name whose own lifetime is not known, seconds. */
const unknownLifetime = 5;

/** How a search ended: the name, or why it cannot be said that there is none. */
export interface Searched {
  readonly found: Found | undefined;
  readonly failed: (ForwardedAnswer & { kind: "failed" }) | undefined;
  /** Whether there is such a name under a suffix, even if its address is not known. */
  readonly exists: boolean;
}

/** What cached answers alone say; undefined when they do not say enough. */
export function searchCached(
  forwarder: Forwarder,
  sandbox: Sandbox,
  question: ForwardedQuestion,
): Searched | undefined {
  const candidates = candidatesOf(question.key, sandbox.record.search);
  for (const candidate of candidates) {
    for (const [index, type] of families.entries())
      candidate.answers[index] = forwarder.cached(sandbox, { ...question, key: candidate.key, type });
  }
  return outcomeOf(candidates, question.type);
}

/**
 * Looks a single label up under each of the client's suffixes at once; the first in the order of the list that has an
 * address of either family is it, so that A and AAAA agree. Docker writes `ndots:0`, with which a program linked to
 * musl never tries the suffixes itself.
 * @param done called once, when the first of the list that exists is known, or that none does; perhaps from inside
 */
export function searchSuffixes(
  forwarder: Forwarder,
  sandbox: Sandbox,
  question: ForwardedQuestion,
  done: (searched: Searched) => void,
): { cancel(): void } {
  const candidates = candidatesOf(question.key, sandbox.record.search);
  const running: { cancel(): void }[] = [];
  let over = false;
  const settle = () => {
    const outcome = over ? undefined : outcomeOf(candidates, question.type);
    if (!outcome) return;
    over = true;
    for (const each of running) each.cancel();
    done(outcome);
  };
  for (const candidate of candidates) {
    for (const [index, type] of families.entries()) {
      const asked = { ...question, key: candidate.key, type };
      candidate.answers[index] = forwarder.cached(sandbox, asked);
      if (candidate.answers[index]) continue;
      running.push(
        forwarder.ask(sandbox, asked, (answer) => {
          candidate.answers[index] = answer;
          settle();
        }),
      );
    }
  }
  settle();
  return {
    cancel: () => {
      over = true;
      for (const each of running) each.cancel();
    },
  };
}

/** Undefined while a candidate that may decide it has no answer yet. */
function outcomeOf(candidates: readonly Candidate[], type: number): Searched | undefined {
  let failed: Searched["failed"];
  for (const candidate of candidates) {
    if (candidate.answers.some((answer) => answer === undefined)) return undefined;
    const found = foundIn(candidate, type);
    const own = candidate.answers[families.indexOf(type as (typeof families)[number])];
    // It exists, with an address of the other family. Of this family nothing is known, and no later suffix may take its place.
    if (found && own?.kind === "failed") return { found: undefined, failed: own, exists: true };
    if (found) return { found, failed, exists: true };
    for (const answer of candidate.answers) if (answer?.kind === "failed") failed ??= answer;
  }
  return { found: undefined, failed, exists: false };
}

function candidatesOf(label: NameKey, search: readonly string[]): Candidate[] {
  const suffixes = search.map(keyOfText).filter((suffix) => suffix !== undefined);
  return suffixes
    .map((suffix) => label + suffix)
    .filter((key) => key.length < 255 && isPlain(key))
    .slice(0, suffixesAtMost)
    .map((key) => ({ key, answers: [undefined, undefined] }));
}

/** The target of the CNAME is encoded from text, so a label must not contain a dot or another byte that text would have to escape. */
function isPlain(key: NameKey): boolean {
  return !textOfKey(key).includes("\\");
}

function foundIn({ key, answers }: Candidate, type: number): Found | undefined {
  const end = HEADER_SIZE + key.length + 1 + 4;
  const known = families.map((family, index) => {
    const answer = answers[index];
    return answer?.kind === "reply"
      ? { family, answer, records: addressesIn(answer.stored, end, family, answer.age) }
      : undefined;
  });
  if (!known.some((each) => each && each.records.length > 0)) return undefined;
  const wanted = known.find((each) => each?.family === type) ?? known.find((each) => each !== undefined)!;
  const target = textOfKey(key);
  const addresses =
    wanted.family === type
      ? wanted.records.map((record) => ({
          ...record,
          owner: target,
          ttl: wanted.answer.stale ? STALE_TTL : record.ttl,
        }))
      : [];
  const ttl = Math.min(timeLeft(wanted.answer), ...addresses.map((record) => record.ttl));
  return {
    answer: wanted.answer,
    records: [{ owner: undefined, type: TYPE.CNAME, ttl, data: encodeName(target) }, ...addresses],
  };
}

/** Seconds the answer may be kept from now on. */
function timeLeft({ stored, age, stale }: Found["answer"]): number {
  if (stale) return STALE_TTL;
  return stored.lifetime === 0 ? unknownLifetime : Math.max(0, stored.lifetime - age);
}
