// Unit tests on another processor, as far as qemu-user carries them. Loaded before npm packages are
// installed, so it uses nothing but Node itself.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cache, newestLts, nodeOf } from "../node-versions.mjs";
import { foldersOf, root, say } from "../prepare.mjs";
import { requireDebianRoot } from "./debian-root.mjs";

/** Seconds for one test file, in which a processor is played. */
const timeLimit = 1200;

/** What qemu-user does not pass on to the kernel, and the tests that need it. */
const beyondQemu = [
  {
    tests: /^linux\/netlink\/nf|^src\/names\/takeovers\/(dns-redirect|takeover-table|namespace-rules)/,
    why: "qemu-user knows no nfnetlink",
  },
  { tests: /^proxy\/udp\/udp-relay/, why: "qemu-user knows no SO_BINDTOIFINDEX" },
  { tests: /^proxy\/tcp\/tcp-relay/, why: "what it copies takes longer there than its tests wait" },
  {
    tests: /^src\/store\/(embedded-store|page-check)/,
    why: "they start Node again, which the kernel does not for another processor",
  },
  {
    tests:
      /^proxy\/(tcp\/descriptor-waiters|handshake|main)\.|^src\/cli\/port-commands|^src\/docker\/daemon-dns|^linux\/privileges/,
    why: "they start Node again, which the kernel does not for another processor",
  },
  { tests: /^dns\/fuzz\//, why: "it is the same on every processor, and takes too long on one that is played" },
];

/**
 * Unit tests on arm64.
 * @param {readonly string[]} filters
 * @returns {Generator<import("../matrix.mjs").Run>}
 */
export function* arm64Runs(filters) {
  yield {
    name: "Node on arm64, emulated",
    async prepare() {
      const [emulator, libraries, node] = [
        qemu(),
        await requireDebianRoot("trixie", "arm64"),
        await nodeOf(newestLts, "arm64", [
          `@koromix/koffi-linux-arm64@${versionOf("koffi")}`,
          `@lmdb/lmdb-linux-arm64@${versionOf("lmdb")}`,
        ]),
      ];
      if (emulator.problem !== undefined) return emulator;
      if (libraries.problem !== undefined) return libraries;
      if (node.problem !== undefined) return node;
      const env = {
        PONTOON_TEST_NODE: [emulator.binary, "-L", libraries.folder, node.binary].join(" "),
        PONTOON_TEST_TIME: String(timeLimit),
        NODE_PATH: join(node.folder, "node_modules"),
      };
      return { argv: [process.execPath, join(root, "tools", "test.mjs"), "--unit", ...testsOf(filters)], env };
    },
  };
}

/** @param {string} name of a package that is installed */
function versionOf(name) {
  /** @type {{version: string}} */
  const { version } = JSON.parse(readFileSync(join(root, "node_modules", name, "package.json"), "utf8"));
  return version;
}

/** @param {readonly string[]} filters */
function testsOf(filters) {
  const folders = foldersOf(root, "tsconfig.build.json");
  const files = readdirSync(join(root, "dist"), { recursive: true, encoding: "utf8" }).filter(
    (name) => name.endsWith(".test.js") && folders.some((folder) => name.startsWith(`${folder}/`)),
  );
  const wanted = files.filter((name) => filters.length === 0 || filters.some((filter) => name.includes(filter)));
  for (const { tests, why } of beyondQemu)
    if (wanted.some((name) => tests.test(name)))
      say(`left out on arm64: ${wanted.filter((name) => tests.test(name)).join(", ")}: ${why}`);
  return wanted.filter((name) => !beyondQemu.some(({ tests }) => tests.test(name)));
}

/**
 * qemu's emulator of Debian, taken out of its package: nothing is registered with the kernel.
 * @returns {{binary: string, problem?: undefined} | {problem: string}}
 */
function qemu() {
  const folder = join(cache, "qemu");
  const binary = join(folder, "usr", "bin", "qemu-aarch64-static");
  if (existsSync(binary)) return { binary };
  mkdirSync(folder, { recursive: true });
  const { status, stderr } = spawnSync(
    "sh",
    ["-c", "apt-get download -q qemu-user-static && dpkg -x qemu-user-static_*.deb . && rm qemu-user-static_*.deb"],
    { cwd: folder, encoding: "utf8" },
  );
  return status === 0
    ? { binary }
    : { problem: `qemu-user-static could not be downloaded: ${stderr.trim().split("\n").at(-1)}` };
}
