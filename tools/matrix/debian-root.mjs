// Root file systems of Debian suites, for the dockerd and the Node that these have. Loaded before npm packages are
// installed, so it uses nothing but Node itself.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cache } from "../node-versions.mjs";
import { lastLine, quietly } from "../prepare.mjs";
import { testPackages } from "../test-packages.mjs";

/** What `npm test` installs on a machine, and what the programs of a machine are that no package has to bring there. */
const packages = [
  ...new Set([
    ...testPackages.map((wanted) => wanted.package),
    ...["docker-cli", "containerd", "firewalld", "libc6-dev", "ca-certificates", "curl", "jq", "nodejs"],
  ]),
];
/** Debian 12 has the docker command in docker.io. */
/** @type {Record<string, readonly string[]>} */
const lacking = { bookworm: ["docker-cli"] };
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

const script = (/** @type {string} */ name) => fileURLToPath(new URL(name, import.meta.url));
const folderOf = (/** @type {string} */ suite) => join(cache, suite);

/**
 * A root with Docker, Node and what the tests use of a suite, made the first time.
 * @param {string} suite
 * @param {string} [arch] of another processor: only the libraries are there then
 * @returns {Promise<{folder: string, problem?: undefined} | {problem: string, folder?: undefined}>} its folder, or why there is
 *   none
 */
export async function requireDebianRoot(suite, arch) {
  const names = arch === undefined ? packages.filter((name) => !lacking[suite]?.includes(name)) : [];
  const folder = folderOf(arch === undefined ? suite : `${suite}-${arch}`);
  const stamp = `${folder}.packages`;
  const wanted = names.join(" ");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return { folder };
  const mirror = mirrorOf();
  if (mirror === undefined) return { problem: "apt names no Debian mirror here; run this on a Debian system" };
  if (!existsSync(keyring)) return { problem: `${keyring} is missing; run: apt-get install debian-archive-keyring` };
  mkdirSync(cache, { recursive: true });
  const made = await quietly(
    `making a root of Debian ${suite} in ${folder}`,
    "sh",
    [script("make-root.sh"), suite, folder, mirror, ...names],
    { ...process.env, ...(arch !== undefined && { ARCH: arch }) },
  );
  if (!made.ok)
    return { problem: `a root of Debian ${suite} could not be made in ${folder}: ${lastLine(made.output)}` };
  writeFileSync(stamp, wanted);
  return { folder };
}

/**
 * The command line that runs `argv` in a root.
 * @param {string} folder
 * @param {{hierarchy: number, node: string, argv: readonly string[]}} options `hierarchy` of control groups; `node` is the
 *   binary, "" the root's own
 */
export function inRoot(folder, { hierarchy, node, argv }) {
  return ["sh", script("enter-root.sh"), folder, String(hierarchy), node, ...argv];
}

/**
 * Removes what was left in a root's /tmp. Nothing is mounted there any more: mounts end with the namespace they were made in.
 * @param {string} name
 */
export function removeTemporary(name) {
  rmSync(`${folderOf(name)}.tmp`, { recursive: true, force: true });
}

function mirrorOf() {
  const { stdout } = spawnSync("apt-get", ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"], {
    encoding: "utf8",
  });
  return stdout?.split("\n").find((uri) => uri !== "" && !uri.includes("security"));
}
