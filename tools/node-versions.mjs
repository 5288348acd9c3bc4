// Other versions of Node, each in a folder of its own in the cache, from the npm registry that npm is configured for.
import { existsSync, mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { npmReason, quietly } from "./prepare.mjs";

/** The newest release with long-term support: what the tests run on besides the machine's own. */
export const newestLts = 24;

/** Where the roots and the Nodes are kept that tests run on, between one run and the next. */
export const cache = process.env.PONTOON_MATRIX_DIR ?? join(homedir(), ".cache", "pontoon-matrix");

/**
 * The binary of a major version of Node, installed the first time.
 * The package holds nothing but the release of nodejs.org, and none of its scripts is run.
 * @param {number} major
 * @param {string} arch
 * @param {readonly string[]} packages installed beside it
 * @returns {Promise<{binary: string, folder: string, problem?: undefined} | {problem: string, binary?: undefined}>} its path, or
 *   why there is none
 */
export async function nodeOf(major, arch = process.arch, packages = []) {
  const folder = join(cache, arch === process.arch ? `node-${major}` : `node-${major}-${arch}`);
  const name = `node-linux-${arch}`;
  const binary = join(folder, "node_modules", name, "bin", "node");
  if (existsSync(binary)) return { binary, folder };
  mkdirSync(folder, { recursive: true });
  const options = [
    "--prefix",
    folder,
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    ...(arch === process.arch ? [] : ["--force"]),
  ];
  const result = await quietly(`installing Node ${major}`, "npm", [
    "install",
    ...options,
    `${name}@${major}`,
    ...packages,
  ]);
  if (result.ok && existsSync(binary)) return { binary, folder };
  return {
    problem: `Node ${major} could not be installed: ${npmReason(result.output)}; run: npm install --prefix ${folder} ${name}@${major}`,
  };
}
