import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";

/** One of those that are compared, on a host of its own: a network with NAT, on which one endpoint stays all the time. */
export interface Backend {
  /** Connects a namespace that has no endpoint yet. @param port of the host, to be led to port 80 there */
  connect(port?: number): Promise<void>;
  disconnect(port?: number): Promise<void>;
}

/** The names of the namespace that comes and goes, and of the one that stays: without one, netavark would remove its bridge. */
export const namespaces = { comes: "comes", stays: "stays" } as const;

/** Runs a program to its end, as those who use it do. Not by execa: its start is measured. @returns what it printed */
export async function runProgram(
  command: string,
  args: readonly string[],
  input: string,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.end(input);
  const said = Promise.all([text(child.stdout), text(child.stderr)]);
  await once(child, "close");
  const [output, problems] = await said;
  if (child.exitCode !== 0) throw new Error(`${command} ${args.join(" ")}: ${problems}${output}`);
  return output;
}
