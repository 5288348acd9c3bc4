// `sudo npm run uninstall-host`: gives everything back to Docker and removes what install-host installed, and only that.
import { existsSync, readdirSync, rmSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { dockerNeedsNetworks } from "./docker-networks.mjs";
import {
  commandLineOf,
  currentBundle,
  daemonStatus,
  faultOfPlaces,
  hasSystemd,
  isOurCommand,
  lockInstallation,
  parseOptions,
  placesBelow,
  readIfThere,
  removeIfEmpty,
  removeUnfinished,
  socketUnit,
  systemctl,
  unit,
} from "./host-places.mjs";
import { exitCode, mayGoOn } from "./interrupts.mjs";
import { messageOf, refuse, requirePlatform, requireRoot, root, say } from "./prepare.mjs";

const usage = "known: --root FOLDER (remove what was installed below it and touch no service)";

/** Connections of published ports have their time to end, ms. */
const proxyEndsWithin = 30_000;

const parsed = parseOptions(process.argv.slice(2), usage);
if (parsed.problem !== undefined) refuse(parsed.problem);
const options = parsed;
const places = placesBelow(options.root);

requirePlatform();
if (options.root === "/") requireRoot("npm run uninstall-host");
const fault = await faultOfPlaces(places, root);
if (fault !== undefined) refuse(fault);
if (existsSync(places.root)) lockInstallation(places);
const bundle = currentBundle(places);
if (bundle === undefined && !existsSync(places.libraryFolder) && !existsSync(places.unit)) {
  say(`pontoon is not installed in ${places.libraryFolder}: there is nothing to remove`);
  process.exit(0);
}

const program = bundle === undefined ? undefined : join(places.libraryFolder, bundle, "bin", "pontoon");
refuseIfDockerNeedsIt();
await refuseIfNetworksNeedIt();
stopService();
await mayGoOn().catch(giveUp);
await stopProxy();
await mayGoOn().catch(giveUp);
// Nothing waits from here on, so nothing interrupts it.
removeUnfinished(places);
const left = [];
const defaultConfig =
  bundle === undefined ? undefined : readIfThere(join(places.libraryFolder, bundle, "packaging", "pontoon.yaml"));
if (existsSync(places.config) && readIfThere(places.config) === defaultConfig) unlinkSync(places.config);
if (!removeIfEmpty(places.configFolder)) left.push(places.configFolder, "which was changed or added to");
if (!removeIfEmpty(places.stateFolder))
  left.push(places.stateFolder, "which is not empty, or a file system of its own");
if (places.root === "/") removeIfEmpty(places.runFolder); // a daemon from a clone may be using it
if (existsSync(places.commandFolder))
  for (const name of readdirSync(places.commandFolder))
    if (isOurCommand(places, join(places.commandFolder, name))) unlinkSync(join(places.commandFolder, name));
for (const path of [places.unit, places.socketUnit]) rmSync(path, { force: true });
if (hasSystemd(places)) systemctl("daemon-reload");
rmSync(places.libraryFolder, { recursive: true, force: true });

say("pontoon is removed; every container is answered by Docker's own resolver");
for (let index = 0; index < left.length; index += 2) say(`left: ${left[index]}, ${left[index + 1]}`);

/**
 * @param {unknown} error
 * @returns {never}
 */
function giveUp(error) {
  refuse(
    `${messageOf(error)}; what is installed is still there, but may have been stopped: ` +
      `run this again, or \`systemctl enable --now ${unit} ${socketUnit}\``,
    exitCode(),
  );
}

/** Nothing is removed under a daemon that runs. */
function stopService() {
  if (places.root !== "/") return;
  // The socket first: as long as it is open, a connection starts the service.
  const units = [existsSync(places.socketUnit) ? socketUnit : [], existsSync(places.unit) ? unit : []].flat();
  if (hasSystemd(places) && units.length > 0) {
    const stopped = systemctl("disable", "--now", "--quiet", ...units);
    if (!stopped.ok) refuse(`${units.join(", ")} cannot be stopped: ${stopped.stderr}; nothing was removed`);
    systemctl("reset-failed", ...units);
  }
  const running = program === undefined ? undefined : daemonStatus(program);
  if (running !== undefined && isInstalled(running.pid))
    refuse(
      `the installed pontoon runs as process ${running.pid}; ` +
        `end it with \`kill ${running.pid}\`, which gives everything back to Docker, and try again`,
    );
}

/** dockerd could publish no port any more. */
function refuseIfDockerNeedsIt() {
  if (places.root !== "/") return;
  const isNeeded = (/** @type {string | undefined} */ text) => text?.includes("pontoon-docker-proxy") === true;
  const users = ["/etc/docker/daemon.json"].filter((file) => isNeeded(readIfThere(file)));
  const processes = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  for (const pid of processes) {
    const [program = "", ...words] = (commandLineOf(pid) ?? "").split("\0");
    if (program.endsWith("dockerd") && words.some(isNeeded)) users.push(`the options of dockerd (pid ${pid})`);
  }
  if (users.length > 0)
    refuse(
      "dockerd starts pontoon-docker-proxy for published ports; " +
        `take userland-proxy-path out of ${users.join(" and ")}, restart dockerd, and try again; nothing was removed`,
    );
}

/** dockerd could start no container on them any more, and would wait 15 s for each when it starts. */
async function refuseIfNetworksNeedIt() {
  if (places.root !== "/") return;
  const followed = program === undefined ? undefined : daemonStatus(program)?.docker.host;
  const answer = await dockerNeedsNetworks(followed);
  if ("refusal" in answer) refuse(answer.refusal);
  if (answer.note !== undefined) say(answer.note);
}

/** What it serves for dockerd becomes Docker's own docker-proxy; what `pontoon publish` published ends. */
async function stopProxy() {
  const pid = Number(readIfThere(join(places.runFolder, "proxy.pid")));
  if (!isProxy(pid)) return;
  process.kill(pid, "SIGTERM");
  const started = Date.now();
  while (isProxy(pid) && Date.now() - started < proxyEndsWithin) {
    await mayGoOn().catch(giveUp);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  if (isProxy(pid)) process.kill(pid, "SIGKILL");
  for (const name of ["proxy.sock", "proxy-control.sock", "proxy.log", "proxy.pid"])
    rmSync(join(places.runFolder, name), { force: true });
}

/** @param {number} pid */
function isProxy(pid) {
  const words = pid > 0 ? commandLineOf(pid)?.split("\0") : undefined;
  return words?.[0] === "pontoon-proxy" && words.some((word) => word.startsWith(`${places.library}/`));
}

/** @param {number} pid */
function isInstalled(pid) {
  return commandLineOf(pid)?.includes(`${places.library}/`) === true;
}
