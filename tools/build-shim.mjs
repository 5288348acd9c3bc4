// Builds bin/pontoon-docker-proxy, the program dockerd starts for each published port: static and tiny, from proxy/shim/.
// With musl (Debian: musl-tools) it takes 24 KB; the system's own C library does as well, with 700 KB on disk.
// Without a compiler bin/pontoon-docker-proxy starts the TypeScript entry instead. Uses nothing but Node itself, as does the
// build it is part of, which comes before npm packages can be loaded.
import { chmodSync, existsSync, readFileSync, readdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { root, say } from "./prepare.mjs";

const folder = join(root, "proxy", "shim");
const protocol = join(root, "proxy", "shims", "shim-protocol.ts");
const output = join(root, "bin", "pontoon-docker-proxy");
const flags = [
  ...["-std=gnu11", "-Os", "-Wall", "-Wextra", "-static", "-fno-pie", "-no-pie", "-s"],
  ...["-fno-asynchronous-unwind-tables", "-ffunction-sections", "-Wl,--gc-sections"],
  // Fewer pages, each of which every process has to itself once it is written to.
  ...["-Wl,-z,noseparate-code", "-Wl,-z,norelro", "-Wl,--build-id=none"],
];

/** Builds the shim when a source is newer than the last build. Returns what was built: "static" or "launcher". */
export function requireShim() {
  const sources = readdirSync(folder).map((name) => join(folder, name));
  const newest = Math.max(
    ...[...sources, protocol, fileURLToPath(import.meta.url), join(root, "package.json")].map(
      (file) => statSync(file).mtimeMs,
    ),
  );
  if (existsSync(output) && statSync(output).mtimeMs > newest && isStatic()) return "static";
  /** @type {{version: string}} */
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  /** @type {string[]} */
  const problems = [];
  const macros = [`-DPONTOON_VERSION="${version}"`, `-DPONTOON_SHIM_PROTOCOL="${protocolNumber()}"`];
  for (const compiler of ["musl-gcc", "gcc"]) {
    // Under another name first: dockerd may start the one before at any moment.
    const files = sources.filter((file) => file.endsWith(".c"));
    const result = spawnSync(compiler, [...flags, ...macros, "-o", `${output}.new`, ...files], {
      encoding: "utf8",
    });
    if (result.status === 0) {
      renameSync(`${output}.new`, output);
      return "static";
    }
    if (result.error === undefined) problems.push(`${compiler}: ${result.stderr.trim()}`);
  }
  writeLauncher();
  const why = problems.length > 0 ? `it could not be compiled (${problems.join("; ")})` : "there is no gcc here";
  say(
    `bin/pontoon-docker-proxy takes 40 MB a port, since ${why}; install gcc (Debian: gcc libc6-dev, or musl-tools) and run this again for 24 KB`,
  );
  return "launcher";
}

/** The shim in C speaks what pontoon-proxy does. */
function protocolNumber() {
  const [, number] = /^export const PROTOCOL = (\d+);$/m.exec(readFileSync(protocol, "utf8")) ?? [];
  if (number === undefined) throw new Error(`${protocol} does not say which protocol it is`);
  return number;
}

function isStatic() {
  return readFileSync(output).subarray(1, 4).toString() === "ELF";
}

function writeLauncher() {
  const entry = join(root, "dist", "proxy", "shim", "docker-proxy.js");
  writeFileSync(
    `${output}.new`,
    `#!/bin/sh\nexec '${process.execPath.replaceAll("'", "'\\''")}' '${entry.replaceAll("'", "'\\''")}' "$@"\n`,
  );
  chmodSync(`${output}.new`, 0o755);
  renameSync(`${output}.new`, output);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) requireShim();
