import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository: where bin/, integration/ and node_modules/ are. `PONTOON_ROOT` wins, for builds made elsewhere. */
export const repositoryRoot = process.env["PONTOON_ROOT"] ?? findRoot(dirname(fileURLToPath(import.meta.url)));

/** The folders the programs are made of. */
export const programFolders = (
  JSON.parse(readFileSync(join(repositoryRoot, "tsconfig.build.json"), "utf8")) as { include: string[] }
).include;

/** A helper program of this folder, in its built form. */
export function helperProgram(file: string): string {
  return join(dirname(fileURLToPath(import.meta.url)), file);
}

function findRoot(directory: string): string {
  if (isRepository(directory)) return directory;
  const parent = dirname(directory);
  if (parent === directory) throw new Error("no package.json of pontoon above the tests; set PONTOON_ROOT");
  return findRoot(parent);
}

function isRepository(directory: string): boolean {
  const file = join(directory, "package.json");
  if (!existsSync(file)) return false;
  const description = JSON.parse(readFileSync(file, "utf8")) as { name?: string };
  return description.name === "pontoon";
}
