import { spawnSync } from "node:child_process";

/** Debian releases' own nft programs: this machine's, and those of the roots that `PONTOON_TEST_ROOTS` names, parted by colons. */
export const nftPrograms: readonly (readonly string[])[] = [
  ["nft"],
  ...(process.env.PONTOON_TEST_ROOTS ?? "")
    .split(":")
    .filter((root) => root !== "")
    .map((root) => ["chroot", root, "nft"]),
];

/** Why tests that make namespaces and run nft are left out; false when they are not. */
export const skipWithoutNft: string | false =
  process.getuid!() !== 0 ? "needs root" : spawnSync("nft", ["--version"]).error === undefined ? false : "needs nft";

/** Runs nft in the calling thread's network namespace. Throws with what it says on stderr. @returns what it prints */
export function nft(
  commands: string,
  program: readonly string[] = nftPrograms[0]!,
  options: readonly string[] = [],
): string {
  const [command = "", ...args] = [...program, ...options, commands];
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", maxBuffer: 256 << 20 });
  if (status !== 0) throw new Error(`nft ends with ${String(status)}: ${stderr}`);
  return stdout;
}

/** What nft shows of the calling thread's namespace, as JSON without handles and counters. */
export function nftObjects(program?: readonly string[]): Record<string, unknown>[] {
  const { nftables } = JSON.parse(nft("list ruleset", program, ["-j"])) as {
    nftables: Record<string, Record<string, unknown>>[];
  };
  const withoutHandle = (object: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(object).filter(([name]) => name !== "handle"));
  return nftables
    .filter((entry) => !("metainfo" in entry))
    .map((entry) => Object.fromEntries(Object.entries(entry).map(([kind, object]) => [kind, withoutHandle(object)])));
}
