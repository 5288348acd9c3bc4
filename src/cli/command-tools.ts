import type { Command } from "commander";
import type { GlobalFlags } from "./flags.js";

/** What commands are made with, wherever they stand. */
export interface CommandTools {
  /** A subcommand that speaks with the daemon. */
  command(parent: Command, name: string, description: string): Command;
  get(flags: GlobalFlags, path: string): Promise<unknown>;
  post(flags: GlobalFlags, path: string, body: unknown): Promise<unknown>;
  /** As JSON, if that is asked for. */
  print<Data>(flags: GlobalFlags, data: Data, text: (data: Data) => readonly string[]): void;
}
