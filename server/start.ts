import { confinementProblem } from "../linux/privileges.js";
import { checkLayouts } from "../linux/selftest.js";

/** A listening socket on which daemons connect: the first descriptor beyond the standard ones. */
export const CONTROL_DESCRIPTOR = 3;

/** What a daemon tells a server it starts. */
export interface StartedAs {
  /** The user to become. */
  readonly user: number;
  /** The daemon's, and so this server's. */
  readonly version: string;
}

/** Throws for a server program that was started by hand, or by a daemon of another version. @param name of the program */
export function startedAs(name: string, flags: { readonly [flag in "user" | "version"]?: string }): StartedAs {
  const user = Number(flags.user);
  if (!Number.isInteger(user) || user <= 0) throw new Error(`${name} is started by the pontoon daemon, not by hand`);
  const unconfined = confinementProblem();
  if (unconfined !== undefined)
    throw new Error(`${name} ${unconfined}; it was not started by a pontoon daemon of this version`);
  checkLayouts();
  return { user, version: flags.version ?? "unknown" };
}
