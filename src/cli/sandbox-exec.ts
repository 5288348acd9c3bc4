import { join } from "node:path";
import { PontoonError } from "../../common/errors.js";
import { enterNamespace, findProgram } from "../../linux/enter-namespace.js";
import { executeProgram } from "../../linux/exec.js";
import type { SandboxAnswer } from "../networks/contract.js";

/**
 * Becomes a program in a sandbox, with the sandbox's hostname, hosts and resolv.conf. Returns only by throwing.
 * @param variables `NAME=VALUE`, beside those of this process
 */
export function runInside(
  { name, path, hostname, state }: SandboxAnswer,
  variables: readonly string[],
  program: string,
  args: readonly string[],
): void {
  if (state === "gone")
    throw new PontoonError("SANDBOX_GONE", name, `the network namespace of sandbox ${name} is not there (${path})`);
  const found = findProgram(program);
  if (found === undefined)
    throw new PontoonError("PROGRAM_UNKNOWN", program, `there is no program ${program} on this host that could be run`);
  const files = ["hosts", "hostname", "resolv.conf"].map(
    (file) => [join("/etc/netns", name, file), join("/etc", file)] as const,
  );
  enterNamespace(path, hostname, files);
  for (const text of variables) {
    const at = text.indexOf("=");
    process.env[text.slice(0, at)] = text.slice(at + 1);
  }
  executeProgram(found, args, []);
  throw new PontoonError("PROGRAM_UNKNOWN", found, `${found} cannot be executed`);
}
