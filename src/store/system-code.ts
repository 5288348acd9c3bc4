import { getSystemErrorName } from "node:util";
import { describeError, errorCode, PontoonError } from "../../common/errors.js";

/** What a system call said, in an error of Node's or lmdb's, or in its cause; else what was said in words. */
export function systemCode(error: unknown): string {
  if (error instanceof PontoonError && error.cause !== undefined) return systemCode(error.cause);
  const named = errorCode(error);
  if (named !== undefined) return named;
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
  return typeof code === "number" && code > 0 ? getSystemErrorName(-code) : describeError(error);
}
