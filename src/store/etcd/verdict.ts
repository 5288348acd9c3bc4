import { fieldsOf, integerOf, NonsenseError, textOf, type Fields } from "./wire.js";

/** What one attempt at a request came to. */
export type Attempt =
  | { readonly kind: "answered"; readonly status: number; readonly body: unknown }
  /** `isSent`: etcd may have it, or get it. */
  | { readonly kind: "failed"; readonly isSent: boolean; readonly error: Error };

/** What is made of an attempt. */
export type Verdict =
  | { readonly kind: "done"; readonly answer: Fields }
  /** etcd will never do it: nothing was changed. */
  | { readonly kind: "refused"; readonly error: RefusedError }
  /** Nothing was changed: another member may do it, or this one with a new token. */
  | { readonly kind: "undone"; readonly reason: string; readonly needsToken: boolean }
  /** It may have been done. */
  | { readonly kind: "uncertain"; readonly reason: string };

/** Codes of gRPC, https://grpc.io/docs/guides/status-codes/. */
export const grpcCode = {
  invalidArgument: 3,
  notFound: 5,
  resourceExhausted: 8,
  failedPrecondition: 9,
  outOfRange: 11,
  unauthenticated: 16,
} as const;

/** What etcd says when it will not do something, with gRPC's code. */
export class RefusedError extends Error {
  constructor(
    readonly grpcCode: number,
    message: string,
  ) {
    super(message);
  }
}

/** Messages of etcd's (rpctypes/error.go) that come before anything was proposed to the members. */
const beforeAnything = /no leader|not capable|too many requests|not supported for learner/;
/** Refusals that another member, or the same one a moment later, would repeat. */
const refusals = new Set<number>([3, 5, 6, 7, 8, 9, 11, 12]);
const oldToken = /invalid auth token|revision of auth store is old/;

/** What is made of an attempt; no I/O. */
export function judge(attempt: Attempt): Verdict {
  if (attempt.kind === "failed")
    return attempt.isSent
      ? { kind: "uncertain", reason: attempt.error.message }
      : { kind: "undone", reason: attempt.error.message, needsToken: false };
  try {
    const answer = fieldsOf(attempt.body);
    if (attempt.status === 200 && answer["error"] === undefined) return { kind: "done", answer };
    return judgeError(answer, attempt.status);
  } catch (error) {
    if (!(error instanceof NonsenseError)) throw error;
    return { kind: "uncertain", reason: `it answered what etcd does not (${error.message})` };
  }
}

function judgeError(answer: Fields, status: number): Verdict {
  const { code, message } = errorOf(answer, status);
  if (oldToken.test(message)) return { kind: "undone", reason: message, needsToken: true };
  if (beforeAnything.test(message)) return { kind: "undone", reason: message, needsToken: false };
  if (refusals.has(code)) return { kind: "refused", error: new RefusedError(code, message) };
  return { kind: "uncertain", reason: message };
}

/** What an answer or a line of a stream with an error says. Throws NonsenseError. */
export function errorOf(answer: Fields, status = 200): { readonly code: number; readonly message: string } {
  const error = answer["error"];
  if (typeof error !== "object") return { code: integerOf(answer["code"]), message: textOf(error) || `HTTP ${status}` };
  const fields = fieldsOf(error); // as a stream has it
  return { code: integerOf(fields["grpc_code"]), message: textOf(fields["message"]) };
}
