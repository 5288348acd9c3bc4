import type { Command } from "commander";
import type { GlobalFlags } from "./flags.js";

/** What commands are made with, wherever they stand. */
export interface CommandTools {
  /** A subcommand that speaks with the daemon. */
  readonly command: (parent: Command, name: string, description: string) => Command;
  readonly get: (flags: GlobalFlags, path: string) => Promise<unknown>;
  readonly post: (flags: GlobalFlags, path: string, body: unknown) => Promise<unknown>;
  /** As JSON, if that is asked for. */
  readonly print: <Data>(flags: GlobalFlags, data: Data, text: (data: Data) => readonly string[]) => void;
}
