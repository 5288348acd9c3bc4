import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "../../integration/lab/root.js";

/** Writes what a run measured. @returns the file */
export function writeResults(benchmark: string, content: object): string {
  const folder = join(repositoryRoot, "bench", "results");
  mkdirSync(folder, { recursive: true });
  const began = new Date().toISOString().replaceAll(":", "-").replace(/\..*/, "");
  const file = join(folder, `${benchmark}-${began}.json`);
  writeFileSync(file, `${JSON.stringify(content, undefined, 2)}\n`);
  return file;
}
