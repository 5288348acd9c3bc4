import { getSystemErrorName } from "node:util";
import { describeError, errorCode } from "../../common/errors.js";

/** The name of a system call's failure, of Node's or lmdb's telling; else what was said of it. */
export function systemCode(error: unknown): string {
  const named = errorCode(error);
  if (named !== undefined) return named;
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
  return typeof code === "number" && code > 0 ? getSystemErrorName(-code) : describeError(error);
}
