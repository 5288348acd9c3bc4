import { localhostAnswer } from "../table/localhost.js";
import type { LocalAnswer } from "../table/lookup.js";
import { isInternet } from "../wire/query.js";
import { isSingleLabel, type Asked } from "./resolved.js";

/** What the table says, to the client that asks. */
export function lookUp({ sandbox, question }: Asked): LocalAnswer | undefined {
  if (!isInternet(question)) return undefined;
  return sandbox.view.answer(question.key, question.type);
}

/** `localhost` itself, which nobody else is asked for. */
export function isLocalhost(asked: Asked): boolean {
  return isSingleLabel(asked.question) && loopback(asked) !== undefined && !lookUp(asked);
}

/** The loopback address for a name below `localhost`, or that itself. */
export function loopback({ question }: Asked): LocalAnswer | undefined {
  return isInternet(question) ? localhostAnswer(question.key, question.type) : undefined;
}
