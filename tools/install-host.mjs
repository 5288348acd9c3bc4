// `sudo npm run install-host`: installs the built program and its service on this host, beside or instead of an earlier
// installation. Whatever fails, what was there before is there afterwards.
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  unlinkSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { lockClone, requireProgram } from "./build.mjs";
import {
  currentBundle,
  daemonStatus,
  faultOfPlaces,
  hasSystemd,
  isOurCommand,
  isRunFrom,
  lockInstallation,
  parseOptions,
  placesBelow,
  readIfThere,
  readLink,
  removeIfEmpty,
  removeUnfinished,
  replaceFile,
  replaceLink,
  run,
  socketUnit,
  systemctl,
  unit,
} from "./host-places.mjs";
import { exitCode, mayGoOn } from "./interrupts.mjs";
import { messageOf, refuse, requirePlatform, requireRoot, root, say } from "./prepare.mjs";
import { buildVersion, makeFolder, makeBundle, sizeOf } from "./bundle.mjs";

/**
 * @typedef {{wasActive: boolean, hadSocket: boolean, reopensSocket: boolean, restarted: boolean}} Service
 * @typedef {"started" | "left-stopped" | "not-wanted" | "other-runs" | "no-systemd" | "elsewhere"} Outcome what became of the
 *   service: left stopped as it was, or not started because another daemon runs, …
 */

const usage = "known: --root FOLDER (install below it and touch no service), --no-start, --no-build";
/** How long is waited for the daemon to be ready, with a pontoon-dns of its own version, ms. */
const readyWithin = 15_000;

const parsed = parseOptions(process.argv.slice(2), usage);
if (parsed.problem !== undefined) refuse(parsed.problem);
const options = parsed;
const places = placesBelow(options.root);
const systemd = hasSystemd(places);

requirePlatform();
if (options.root === "/") requireRoot("npm run install-host");

/**
 * What takes each step back; run last first when a later one fails, or somebody does not want to wait for the end.
 * @type {(() => unknown)[]}
 */
const undo = [];
try {
  if (options.build) await requireProgram({ development: false, mayGoOn });
  const fault = await faultOfPlaces(places, root);
  if (fault !== undefined) refuse(fault);
  await install();
} catch (error) {
  for (const step of undo.reverse()) step();
  refuse(`${messageOf(error)}; everything is as it was before`, exitCode());
}

async function install() {
  makeWithUndo(places.root);
  lockInstallation(places);
  removeUnfinished(places);
  removeUnused(currentBundle(places));
  /** @type {{bin: Record<string, string>}} */
  const { bin } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const commands = Object.keys(bin).map((name) => join(places.commandFolder, name));
  for (const path of commands) refuseForeign(path);
  const node = nodeProgram();
  const before = currentBundle(places);
  const service = {
    wasActive: isActive(unit),
    hadSocket: isActive(socketUnit),
    reopensSocket: false,
    restarted: false,
  };
  undo.push(() => restoreService(service)); // last of all, when the files are back

  const { bundle, version } = await newBundle(node);
  await checkConfig(bundle);
  installConfig(bundle, before);
  makeWithUndo(places.stateFolder);
  switchTo(bundle, before);
  for (const path of commands) installCommand(path);
  const started = systemd ? await installService(bundle, before, version, service) : installUnitsElsewhere(bundle);
  await mayGoOn();

  removeUnused(basename(bundle));
  report(version, bundle, started);
}

/**
 * A command of that name that somebody else has put there is not replaced.
 * @param {string} path
 */
function refuseForeign(path) {
  if ((existsSync(path) || readLink(path) !== undefined) && !isOurCommand(places, path))
    throw new Error(`${path} is there already and was not installed by this; remove or rename it first`);
}

/** A service outlives the shell that has this Node on its PATH. */
function nodeProgram() {
  const node = realpathSync(process.execPath);
  if (/^\/(home|root)\//.test(node))
    say(
      `warning: the service will run with ${node}, which is in a home directory: once it is removed, pontoon cannot start; ` +
        "install Node for all users, then install again",
    );
  return node;
}

/** @param {string} node */
async function newBundle(node) {
  makeWithUndo(places.libraryFolder);
  const bundle = mkdtempSync(join(places.libraryFolder, "bundle-"));
  undo.push(() => rmSync(bundle, { recursive: true, force: true }));
  chmodSync(bundle, 0o755);
  const unlockClone = await lockClone(mayGoOn);
  try {
    const version = buildVersion(root);
    await makeBundle({ root, bundle, path: join(places.library, basename(bundle)), node, version });
    return { bundle, version };
  } finally {
    unlockClone();
  }
}

/**
 * The configuration that is there must suit the program that is to read it.
 * @param {string} bundle
 */
async function checkConfig(bundle) {
  if (!existsSync(places.config)) return;
  /** @type {{loadConfig: (file: string) => unknown}} */
  const { loadConfig } = await import(pathToFileURL(join(bundle, "dist", "src", "config.js")).href);
  loadConfig(places.config);
}

/**
 * The default configuration is written if there is none, and renewed if nobody has changed it.
 * @param {string} bundle
 * @param {string | undefined} before the bundle that was used before
 */
function installConfig(bundle, before) {
  const there = readIfThere(places.config);
  const defaultBefore =
    before === undefined ? undefined : readIfThere(join(places.libraryFolder, before, "packaging", "pontoon.yaml"));
  if (there !== undefined && there !== defaultBefore) return;
  makeWithUndo(places.configFolder);
  writeWithUndo(places.config, readFileSync(join(bundle, "packaging", "pontoon.yaml"), "utf8"));
}

/**
 * @param {string} bundle
 * @param {string | undefined} before
 */
function switchTo(bundle, before) {
  replaceLink(places.current, basename(bundle));
  undo.push(() => (before === undefined ? unlinkSync(places.current) : replaceLink(places.current, before)));
}

/** @param {string} path */
function installCommand(path) {
  if (isOurCommand(places, path)) return;
  makeWithUndo(places.commandFolder);
  replaceLink(path, join(places.library, "current", "commands", basename(path)));
  undo.push(() => unlinkSync(path));
}

/**
 * @param {string} bundle
 * @returns {Outcome}
 */
function installUnitsElsewhere(bundle) {
  if (options.root === "/") return "no-systemd";
  makeWithUndo(dirname(places.unit));
  writeUnits(bundle);
  return "elsewhere";
}

/** @param {string} bundle */
function writeUnits(bundle) {
  writeWithUndo(places.socketUnit, readFileSync(join(bundle, "packaging", socketUnit), "utf8"));
  writeWithUndo(places.unit, readFileSync(join(bundle, "packaging", unit), "utf8"));
}

/**
 * @param {string} bundle
 * @param {string | undefined} before
 * @param {string} version
 * @param {Service} service
 * @returns {Promise<Outcome>}
 */
async function installService(bundle, before, version, service) {
  const socketBefore = readIfThere(places.socketUnit);
  const isOther = socketBefore !== readFileSync(join(bundle, "packaging", socketUnit), "utf8");
  service.reopensSocket = isOther && service.hadSocket && (options.start || !service.wasActive);
  if (service.reopensSocket) closeSocket(); // while systemd still knows what it has opened
  writeUnits(bundle);
  must(systemctl("daemon-reload"), "systemd does not read its units");
  if (before === undefined) enable(unit);
  if (socketBefore === undefined && systemctl("is-enabled", "--quiet", unit).ok) enable(socketUnit);
  if (before !== undefined && !service.wasActive) {
    if (service.reopensSocket) must(systemctl("start", socketUnit), `${socketUnit} cannot be opened again`);
    return "left-stopped";
  }
  if (!options.start) return "not-wanted";
  const program = join(bundle, "bin", "pontoon");
  const other = service.wasActive ? undefined : daemonStatus(program);
  if (other !== undefined) return "other-runs";
  service.restarted = true;
  if (!service.wasActive) undo.push(() => systemctl("stop", unit, socketUnit));
  const since = Math.floor(Date.now() / 1000);
  // The service wants the socket, which systemd can open only while the service is down: in the middle of a restart.
  if (!systemctl("restart", unit).ok) throw new Error(`the service does not start: ${lastWords(since)}`);
  if (!isActive(socketUnit))
    say(
      `warning: ${socketUnit} is not open, so dockerd cannot ask for networks; \`systemctl status ${socketUnit}\` says why`,
    );
  await untilServing(program, version);
  return "started";
}

/** @param {string} name of a unit */
function isActive(name) {
  return systemd && systemctl("is-active", "--quiet", name).ok;
}

/** @param {string} name of a unit */
function enable(name) {
  must(systemctl("enable", "--quiet", name), `${name} cannot be enabled`);
  undo.push(() => systemctl("disable", "--quiet", name));
}

/** @param {Service} service */
function restoreService({ wasActive, hadSocket, reopensSocket, restarted }) {
  if (!systemd) return;
  if (reopensSocket) closeSocket();
  systemctl("daemon-reload");
  if (!hadSocket && !existsSync(places.socketUnit)) closeSocket();
  if (wasActive && restarted) systemctl("restart", unit);
  else if (reopensSocket) systemctl("start", socketUnit);
}

/** An earlier version has no such unit: by now systemd does not know any more that the socket's file goes with it. */
function closeSocket() {
  if (!isActive(socketUnit)) return;
  systemctl("stop", socketUnit);
  for (const path of [places.pluginLink, places.pluginSocket]) rmSync(path, { force: true });
}

/**
 * The daemon's own one line about why it ended.
 * @param {number} since s
 */
function lastWords(since) {
  const lines = run("journalctl", [
    "--unit",
    unit,
    "--since",
    `@${since}`,
    "--output",
    "cat",
    "--no-pager",
  ]).stdout.split("\n");
  return (
    lines.findLast((line) => line.startsWith("pontoon: "))?.slice("pontoon: ".length) ??
    `\`journalctl -u ${unit}\` says why`
  );
}

/**
 * Waits for the new daemon, and for it to have replaced an earlier pontoon-dns.
 * @param {string} program
 * @param {string} version
 */
async function untilServing(program, version) {
  const started = Date.now();
  for (; Date.now() - started < readyWithin; await new Promise((resolve) => setTimeout(resolve, 100))) {
    await mayGoOn();
    const status = daemonStatus(program);
    if (!status?.ready) continue;
    const { state, version: served } = status.dns;
    if (state !== "running" || served === version) return;
  }
  say("warning: the service has started, but is not ready yet; `pontoon status` says what it waits for");
}

/**
 * @param {{ok: boolean, stderr: string}} result
 * @param {string} problem
 */
function must(result, problem) {
  if (!result.ok) throw new Error(`${problem}: ${result.stderr}`);
}

/** @param {string} folder */
function makeWithUndo(folder) {
  if (existsSync(folder)) return;
  makeWithUndo(dirname(folder));
  makeFolder(folder);
  undo.push(() => removeIfEmpty(folder));
}

/**
 * @param {string} path
 * @param {string} content
 */
function writeWithUndo(path, content) {
  const there = readIfThere(path);
  replaceFile(path, content);
  undo.push(() => (there === undefined ? unlinkSync(path) : replaceFile(path, there)));
}

/**
 * Bundles but that one, unless something runs from them still.
 * @param {string | undefined} used
 */
function removeUnused(used) {
  if (!existsSync(places.libraryFolder)) return;
  const bundles = readdirSync(places.libraryFolder).filter((name) => name.startsWith("bundle-") && name !== used);
  for (const name of bundles)
    if (!isRunFrom(join(places.library, name)))
      rmSync(join(places.libraryFolder, name), { recursive: true, force: true });
}

/**
 * @param {string} version
 * @param {string} bundle
 * @param {Outcome} started
 */
function report(version, bundle, started) {
  say(
    `pontoon ${version} is installed in ${places.libraryFolder} (${Math.round(sizeOf(bundle) / 1e6)} MB); configuration: ${places.config}`,
  );
  const next = {
    started:
      "the service runs: `pontoon status` shows it, `systemctl stop pontoon` gives names back to Docker, while published ports go on",
    "left-stopped": "the service was stopped, and stays so; `systemctl start pontoon` starts it",
    "not-wanted": "`systemctl start pontoon` starts the service",
    "other-runs":
      "another pontoon daemon is running, so the service was not started: end that one, then `systemctl start pontoon`",
    "no-systemd":
      "there is no systemd here; run `pontoon daemon` as root under whatever keeps services running, with SIGTERM to stop it",
    elsewhere: "no service was touched",
  };
  say(next[started]);
  if (places.root === "/")
    say(
      "to remove it: sudo npm run uninstall-host, or without this clone: " +
        `sudo ${process.execPath} ${join(places.library, "current/tools/uninstall-host.mjs")}`,
    );
}
