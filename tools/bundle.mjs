// Makes a bundle: a folder that holds the built program and all it needs but Node, and nothing else of the clone.
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { mayGoOn } from "./interrupts.mjs";
import { foldersOf, parentOf } from "./prepare.mjs";

/**
 * @typedef {Partial<Record<"dependencies" | "optionalDependencies" | "peerDependencies", Record<string, string>>>} LockedPackage
 * @typedef {Record<string, LockedPackage>} LockedPackages the lock file's, by folder
 * @typedef {{name: string, version: string, description: string, license: string, type: string, bin: Record<string, string>}}
 *   Description
 */

/** Packages that only the build needs. */
const isForBuilding = (/** @type {string} */ name) => name === "typescript" || name.startsWith("@types/");
const programFolders = (/** @type {string} */ root) => foldersOf(root, "tsconfig.build.json");
/** What packages hold for people and their own tests. */
const isLeftOut = (/** @type {string} */ name) => /\.([cm]?ts|map|md|markdown)$/i.test(name);
const foldersLeftOut = new Set([
  "node_modules",
  "test",
  "tests",
  "docs",
  "doc",
  "example",
  "examples",
  "benchmark",
  "benchmarks",
  ".github",
]);
const tools = [
  "uninstall-host.mjs",
  "docker-networks.mjs",
  "host-places.mjs",
  "interrupts.mjs",
  "lock.mjs",
  "prepare.mjs",
];

/**
 * The version of this build: two that differ in anything that runs have different ones (semver build metadata).
 * @param {string} root
 */
export function buildVersion(root) {
  /** @type {Description} */
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const hash = createHash("sha256").update(readFileSync(join(root, "package-lock.json")));
  for (const file of programFolders(root).flatMap((folder) => compiledFiles(root, folder)))
    hash.update(`${file}\0`).update(readFileSync(join(root, file)));
  for (const folder of [join("proxy", "shim"), join("src", "networks", "cni", "program")])
    for (const file of readdirSync(join(root, folder)).sort())
      hash.update(`${file}\0`).update(readFileSync(join(root, folder, file)));
  return `${version}+${hash.digest("hex").slice(0, 8)}`;
}

/**
 * Fills the folder `bundle`. Throws when it is interrupted.
 * @param {object} options
 * @param {string} options.root the clone
 * @param {string} options.bundle
 * @param {string} options.path the folder's name on the host it is for
 * @param {string} options.node the program that is to run it
 * @param {string} options.version
 */
export async function makeBundle({ root, bundle, path, node, version }) {
  for (const file of programFolders(root).flatMap((folder) => compiledFiles(root, folder)))
    copyFile(join(root, file), join(bundle, file));
  await copyPackages(root, bundle);
  copyTree(join(root, "bin"), join(bundle, "bin"));
  copyTree(join(root, "packaging"), join(bundle, "packaging"));
  for (const name of tools) copyFile(join(root, "tools", name), join(bundle, "tools", name));
  /** @type {Description} */
  const description = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const { name, description: text, license, type, bin } = description;
  writeFile(
    join(bundle, "package.json"),
    `${JSON.stringify({ name, version, description: text, license, private: true, type, bin }, undefined, 2)}\n`,
  );
  for (const [command, program] of Object.entries(bin))
    makeCommand(join(bundle, "commands", command), join(root, program), node, path, program);
}

/**
 * Engines execute a docker-proxy for each port, a plugin for each container: a program of the machine's own is that program, not
 * a launcher of it.
 * @param {string} file
 * @param {string} built
 * @param {string} node
 * @param {string} path the bundle's
 * @param {string} program
 */
function makeCommand(file, built, node, path, program) {
  const start = readFileSync(built).subarray(0, 4).toString("latin1");
  if (start === "\x7fELF" || program.endsWith("pontoon-cni")) return copyFile(built, file);
  const isShim = program.endsWith("pontoon-docker-proxy"); // built without a compiler, it names the clone
  writeLauncher(file, node, join(path, isShim ? "dist/proxy/shim/docker-proxy.js" : program));
}

/**
 * A command on the path: with the Node it was installed with, whatever the caller's PATH says.
 * @param {string} file
 * @param {string} node
 * @param {string} program
 */
function writeLauncher(file, node, program) {
  writeFile(file, `#!/bin/sh\nexec ${quoted(node)} ${quoted(program)} "$@"\n`, 0o755);
}

/** @param {string} word */
function quoted(word) {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * What was compiled from the sources there are: no tests, nothing of sources that are gone.
 * @param {string} root
 * @param {string} folder
 */
function compiledFiles(root, folder) {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !/\.(test|d)\.ts$|(^|\/)testing\//.test(name))
    .map((name) => join("dist", folder, name.replace(/\.ts$/, ".js")))
    .sort();
}

/**
 * The packages the program loads, with theirs, as the lock file has them.
 * @param {string} root
 * @param {string} bundle
 */
async function copyPackages(root, bundle) {
  /** @type {{packages: LockedPackages}} */
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  /** @type {Set<string>} */
  const wanted = new Set();
  const want = (/** @type {string} */ key) => {
    const { dependencies, optionalDependencies, peerDependencies } = packages[key] ?? {};
    for (const name of Object.keys({ ...peerDependencies, ...optionalDependencies, ...dependencies })) {
      const found = isForBuilding(name) ? undefined : locate(packages, key, name);
      if (found === undefined || wanted.has(found) || !existsSync(join(root, found))) continue; // optional, for another platform
      wanted.add(found);
      want(found);
    }
  };
  want("");
  for (const key of wanted) {
    await mayGoOn();
    copyPackage(join(root, key), join(bundle, key));
  }
}

/**
 * @param {string} from
 * @param {string} to
 */
function copyPackage(from, to) {
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (isLeftOut(entry.name) || (entry.isDirectory() && foldersLeftOut.has(entry.name))) continue;
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) copyTree(source, target, (name) => !isLeftOut(name));
    else if (entry.isFile()) copyFile(source, target);
  }
}

/**
 * Where Node would find a package: in the node_modules of the one that asks, or of a folder above.
 * @param {LockedPackages} packages
 * @param {string} from
 * @param {string} name
 */
function locate(packages, from, name) {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("/node_modules/")))) {
    const key = `${folder === "" ? "" : `${folder}/`}node_modules/${name}`;
    if (packages[key]) return key;
    if (folder === "") return undefined;
  }
}

/**
 * @param {string} from
 * @param {string} to
 * @param {(name: string) => boolean} isWanted
 */
function copyTree(from, to, isWanted = () => true) {
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (!isWanted(entry.name)) continue;
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) copyTree(source, target, isWanted);
    else if (entry.isFile()) copyFile(source, target);
  }
}

/**
 * Modes are made plain: a clone may have been made with any umask.
 * @param {string} from
 * @param {string} to
 */
function copyFile(from, to) {
  makeFolder(dirname(to));
  copyFileSync(from, to);
  chmodSync(to, (statSync(from).mode & 0o100) === 0 ? 0o644 : 0o755);
}

/**
 * @param {string} file
 * @param {string} content
 * @param {number} mode
 */
function writeFile(file, content, mode = 0o644) {
  makeFolder(dirname(file));
  writeFileSync(file, content);
  chmodSync(file, mode);
}

/** @param {string} folder */
export function makeFolder(folder) {
  if (existsSync(folder)) return;
  makeFolder(dirname(folder));
  mkdirSync(folder);
  chmodSync(folder, 0o755);
}

/**
 * Files of a folder with their sizes, for what is said in the end.
 * @param {string} folder
 */
export function sizeOf(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.reduce((sum, entry) => sum + statSync(join(parentOf(entry), entry.name)).size, 0);
}
