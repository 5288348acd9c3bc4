// From a clone to a built program, one run at a time: two that install packages or compile at once would take each other's
// files away. `npm run build` compiles whatever is built already.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { requireShim } from "./build-shim.mjs";
import { waitForLock } from "./lock.mjs";
import { buildStamp, requireBuild, requireNodeModules, root } from "./prepare.mjs";

/**
 * While one process has this lock no other changes what is built in the clone, or its packages.
 * @param {() => Promise<void>} [mayGoOn] as for {@link waitForLock}
 * @returns a function that lets go of it
 */
export function lockClone(mayGoOn) {
  mkdirSync(join(root, "dist"), { recursive: true });
  return waitForLock(join(root, "dist", ".lock"), "building", mayGoOn);
}

/**
 * Installs packages and builds, as far as needed.
 * @param {object} options
 * @param {boolean} options.development whether packages that only tests need are wanted, too, and everything is compiled that
 *   they are made of
 * @param {() => Promise<void>} [options.mayGoOn] as for {@link waitForLock}
 */
export async function requireProgram({ development, mayGoOn }) {
  const release = await lockClone(mayGoOn);
  await requireNodeModules({ development });
  await requireBuild(development ? "tsconfig.json" : "tsconfig.build.json");
  requireShim();
  release();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const release = await lockClone();
  rmSync(buildStamp("tsconfig.json"), { force: true });
  await requireBuild("tsconfig.json");
  requireShim();
  release();
}
