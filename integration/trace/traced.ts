import { join } from "node:path";
import type { CommandResult, DockerHost, Pontoon } from "../lab/index.js";
import { repositoryRoot } from "../lab/root.js";

/** What `pontoon trace --json` prints, and how it ended. */
export interface Traced {
  readonly exitCode: number;
  readonly steps: readonly {
    readonly kind: string;
    readonly verdict: string;
    readonly where: string;
    readonly text: string;
    readonly whose?: string;
  }[];
  readonly end: { readonly arrives: boolean; readonly where: string; readonly why: string; readonly remedy?: string };
}

/** Traces beside a daemon. */
export async function trace(pontoon: Pontoon, ...words: readonly string[]): Promise<Traced> {
  return read(await pontoon.cli("trace", "--json", ...words));
}

/** Traces on a host without a daemon. */
export async function traceAlone(host: Pick<DockerHost, "exec">, ...words: readonly string[]): Promise<Traced> {
  const argv = [process.execPath, join(repositoryRoot, "bin", "pontoon"), "trace", "--json", ...words];
  return read(await host.exec(argv, { reject: false }));
}

function read({ exitCode, stdout, stderr }: CommandResult): Traced {
  if (stdout === "") throw new Error(`pontoon trace: exit code ${exitCode}: ${stderr}`);
  return { ...(JSON.parse(stdout) as Omit<Traced, "exitCode">), exitCode };
}

/** Where a trace ends, in one line that a test compares: `stops in app: why | remedy`. */
export function endOf({ end, exitCode, steps }: Traced): string {
  const { arrives, where, why, remedy } = end;
  const stopped = steps.filter(({ verdict }) => verdict === "stops").length;
  if (exitCode !== (arrives ? 0 : 1) || stopped !== (arrives ? 0 : 1)) return `exit code ${exitCode}, ${stopped} stops`;
  return `${arrives ? "arrives" : "stops"} in ${where}: ${why}${remedy === undefined ? "" : ` | ${remedy}`}`;
}
