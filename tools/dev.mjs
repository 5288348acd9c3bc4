// `sudo npm run dev [-- OPTION…]`: the daemon with these options, built and started again whenever a source changes.
// Ctrl-C ends all of it: containers are answered by Docker's resolver again, and dockerd's ports are its own docker-proxy's.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { requireProgram } from "./build.mjs";
import { commandLineOf, readIfThere } from "./host-places.mjs";
import { requirePlatform, requireRoot, root, say } from "./prepare.mjs";

requirePlatform();
requireRoot("npm run dev");
await requireProgram({ development: true });
const { execa } = await import("execa"); // an npm package, which is there from here on

const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
const compiler = execa(process.execPath, [tsc, "--watch", "--preserveWatchOutput", "-p", "tsconfig.build.json"], {
  cwd: root,
  stdin: "ignore",
  stderr: "inherit",
  reject: false,
});
/** @type {ReturnType<typeof startDaemon> | undefined} */
let daemon;
let isEnding = false;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"])
  process.on(signal, () => {
    isEnding = true;
    compiler.kill();
    daemon?.kill("SIGTERM");
  });

for await (const line of compiler) {
  process.stdout.write(`${line}\n`);
  if (line.includes("Found 0 errors.") && !isEnding) await restart();
}
await daemon;
await stopProxy();

/** The servers of a clone all have the same version, so that a daemon would keep those of the one before: they are ended, too. */
async function restart() {
  daemon?.kill("SIGTERM");
  await daemon;
  if (daemon !== undefined) await stopProxy();
  if (!isEnding) daemon = startDaemon();
}

/** A daemon that ends leaves pontoon-proxy to those whose ports it publishes. */
async function stopProxy() {
  const { values } = parseArgs({ options: { "run-dir": { type: "string" } }, strict: false });
  const pid = Number(readIfThere(join(String(values["run-dir"] ?? "/run/pontoon"), "proxy.pid")));
  const isProxy = () => pid > 0 && commandLineOf(pid)?.startsWith("pontoon-proxy") === true;
  if (isProxy()) process.kill(pid, "SIGTERM");
  while (isProxy()) await new Promise((resolve) => setTimeout(resolve, 50));
}

function startDaemon() {
  const child = execa(process.execPath, [join(root, "bin", "pontoon"), "daemon", ...process.argv.slice(2)], {
    stdio: "inherit",
    reject: false,
    forceKillAfterDelay: false, // it gives everything back first
  });
  void child.then(({ exitCode }) => {
    if (exitCode !== 0 && !isEnding) say("the daemon has ended; it is started again when a source changes");
  });
  return child;
}
