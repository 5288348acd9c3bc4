// Builds what others start often, and wait for: static and tiny programs in C. bin/pontoon-docker-proxy, which dockerd starts for
// each published port, is made from proxy/shim/; bin/pontoon-cni, which other engines start for each container, from
// src/networks/cni/program/.
// With musl (Debian: musl-tools) they take 24 KB each; the system's own C library does as well, with 700 KB on disk.
// Without a compiler bin/pontoon-docker-proxy starts the TypeScript entry instead, and bin/pontoon-cni says that it was not
// compiled. Uses nothing but Node itself, as does the build it is part of, which comes before npm packages can be loaded.
import { chmodSync, existsSync, readFileSync, readdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { root, say } from "./prepare.mjs";

const protocol = join(root, "proxy", "shims", "shim-protocol.ts");
const flags = [
  ...["-std=gnu11", "-Os", "-Wall", "-Wextra", "-static", "-fno-pie", "-no-pie", "-s"],
  ...["-fno-asynchronous-unwind-tables", "-ffunction-sections", "-Wl,--gc-sections"],
  // Fewer pages, each of which every process has to itself once it is written to.
  ...["-Wl,-z,noseparate-code", "-Wl,-z,norelro", "-Wl,--build-id=none"],
];

/**
 * A program in C.
 * @typedef {{name: string, folder: string, needs: readonly string[], macros: () => string[], without: (why: string) => void}} Program
 *   `needs`: sources elsewhere; `without`: what is done where it cannot be compiled
 */

/** @type {Record<"shim" | "cni", Program>} */
const programs = {
  shim: {
    name: "pontoon-docker-proxy",
    folder: join("proxy", "shim"),
    needs: [protocol],
    macros: () => [`-DPONTOON_SHIM_PROTOCOL="${protocolNumber()}"`],
    without(why) {
      writeLauncher();
      say(`bin/pontoon-docker-proxy takes 40 MB a port, since ${why}; ${remedy} for 24 KB`);
    },
  },
  cni: {
    name: "pontoon-cni",
    folder: join("src", "networks", "cni", "program"),
    needs: [],
    macros: () => [],
    without(why) {
      writeScript(
        outputOf("pontoon-cni"),
        `echo '{"code":50,"msg":"pontoon-cni was not compiled: ${remedy}"}'; exit 1`,
      );
      say(`bin/pontoon-cni connects no container, since ${why}; ${remedy} if other engines than Docker are to use it`);
    },
  },
};
const remedy = "install gcc (Debian: gcc libc6-dev, or musl-tools) and run this again";

/** Builds each program of which a source is newer than the last build. Returns what the shim is: "static" or "launcher". */
export function requireShim() {
  requireProgramInC(programs.cni);
  return requireProgramInC(programs.shim) ? "static" : "launcher";
}

/**
 * @param {Program} program
 * @returns whether it is there, compiled
 */
function requireProgramInC({ name, folder, needs, macros, without }) {
  const output = outputOf(name);
  const sources = readdirSync(join(root, folder)).map((file) => join(root, folder, file));
  const newest = Math.max(
    ...[...sources, ...needs, fileURLToPath(import.meta.url), join(root, "package.json")].map(
      (file) => statSync(file).mtimeMs,
    ),
  );
  if (existsSync(output) && statSync(output).mtimeMs > newest && isStatic(output)) return true;
  /** @type {{version: string}} */
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const files = sources.filter((file) => file.endsWith(".c"));
  /** @type {string[]} */
  const problems = [];
  for (const compiler of ["musl-gcc", "gcc"]) {
    // Under another name first: the one before may be started at any moment.
    const words = [...flags, `-DPONTOON_VERSION="${version}"`, ...macros(), "-o", `${output}.new`, ...files];
    const result = spawnSync(compiler, words, { encoding: "utf8" });
    if (result.status === 0) {
      renameSync(`${output}.new`, output);
      return true;
    }
    if (result.error === undefined) problems.push(`${compiler}: ${result.stderr.trim()}`);
  }
  without(problems.length > 0 ? `it could not be compiled (${problems.join("; ")})` : "there is no gcc here");
  return false;
}

/** @param {string} name */
function outputOf(name) {
  return join(root, "bin", name);
}

/** The shim in C speaks what pontoon-proxy does. */
function protocolNumber() {
  const [, number] = /^export const PROTOCOL = (\d+);$/m.exec(readFileSync(protocol, "utf8")) ?? [];
  if (number === undefined) throw new Error(`${protocol} does not say which protocol it is`);
  return number;
}

/** @param {string} file */
function isStatic(file) {
  return readFileSync(file).subarray(1, 4).toString() === "ELF";
}

function writeLauncher() {
  const entry = join(root, "dist", "proxy", "shim", "docker-proxy.js");
  const quoted = (/** @type {string} */ word) => `'${word.replaceAll("'", "'\\''")}'`;
  writeScript(outputOf("pontoon-docker-proxy"), `exec ${quoted(process.execPath)} ${quoted(entry)} "$@"`);
}

/**
 * @param {string} file
 * @param {string} line
 */
function writeScript(file, line) {
  writeFileSync(`${file}.new`, `#!/bin/sh\n${line}\n`);
  chmodSync(`${file}.new`, 0o755);
  renameSync(`${file}.new`, file);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) requireShim();
