import type { Why } from "../forward/forward.js";
import type { ExtendedError } from "../wire/reply.js";

/** Numbers of RFC 8914 section 4. */
const CODE = {
  other: 0,
  staleAnswer: 3,
  blocked: 15,
  prohibited: 18,
  noReachableAuthority: 22,
  networkError: 23,
} as const;

const codes: Record<Why, number> = {
  "no-upstream": CODE.other,
  timeout: CODE.noReachableAuthority,
  network: CODE.networkError,
  refused: CODE.other,
  failed: CODE.other,
};

/** Why a question to the upstreams came to nothing. */
export function failureError(why: Why, reason: string): ExtendedError {
  return { code: codes[why], text: reason };
}

/** Why a question was not asked at all. */
export function policyError(reason: string): ExtendedError {
  return { code: CODE.prohibited, text: reason };
}

export const staleError: ExtendedError = {
  code: CODE.staleAnswer,
  text: "the upstream servers do not answer; this is what they said last",
};
