/** An error a user may see: a stable code, what it is about, and why. The catalogue is `docs/errors.md`. */
export class PontoonError extends Error {
  override readonly name: string = "PontoonError";

  /**
   * @param code stable, upper case, e.g. `CONFIG_INVALID`
   * @param subject the file, container, network or key it is about
   * @param message one line: what, why, what to do
   */
  constructor(
    readonly code: string,
    readonly subject: string,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

/** The message of whatever was thrown, with its causes, on one line. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? "" : `: ${describeError(error.cause)}`;
  return `${error.message}${cause}`.replaceAll("\n", " ");
}

/** The code of a Node, Linux or pontoon error; undefined for anything else. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
