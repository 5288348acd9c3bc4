// Where an installed pontoon is on a host, and how its service is spoken to. Uses nothing but Node itself.
import { spawnSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { holderOf, takeLock } from "./lock.mjs";
import { codeOf, refuse } from "./prepare.mjs";

/**
 * @typedef {ReturnType<typeof placesBelow>} Places
 * @typedef {{root: string, start: boolean, build: boolean, problem?: undefined}} Options
 * @typedef {{pid: number, ready: boolean, docker: {host: string}, dns: {state: string, version?: string}}} DaemonStatus of what
 *   `pontoon status` prints
 */

export const unit = "pontoon.service";
/** Where dockerd asks; it is there before the service, and while that restarts. */
export const socketUnit = "pontoon-plugin.socket";
const unfinished = ".pontoon-new";

/**
 * Every place, below `root`: "/" on a host, another folder to build a package or for a test.
 * @param {string} root
 */
export function placesBelow(root) {
  const at = (/** @type {string} */ path) => join(root, path);
  const library = "/usr/local/lib/pontoon";
  return {
    root,
    /** As the installed files name it. */
    library,
    libraryFolder: at(library),
    current: at(`${library}/current`),
    commandFolder: at("/usr/local/bin"),
    configFolder: at("/etc/pontoon"),
    config: at("/etc/pontoon/pontoon.yaml"),
    stateFolder: at("/var/lib/pontoon"),
    unit: at(`/etc/systemd/system/${unit}`),
    socketUnit: at(`/etc/systemd/system/${socketUnit}`),
    /** What the socket unit listens at, and the link to it. */
    pluginSocket: at("/run/pontoon-plugin.sock"),
    pluginLink: at("/run/docker/plugins/pontoon.sock"),
    runFolder: at("/run/pontoon"),
  };
}

/**
 * Refuses while another install-host or uninstall-host changes the same installation; from here on none does until this process ends.
 * @param {Places} places
 */
export function lockInstallation(places) {
  const path = places.root === "/" ? "/run/pontoon-install.lock" : places.root; // what anybody may open, anybody may lock
  if (takeLock(path) === undefined)
    refuse(`${holderOf(path)} is changing the installation in ${places.libraryFolder}; try again when it has ended`);
}

/**
 * Why nothing may be written below another root: whoever can change folders there could lead it, by a link, to anywhere else.
 * @param {Places} places
 * @param {string} built the folder with the built program
 * @returns {Promise<string | undefined>} undefined when nothing stands against it
 */
export async function faultOfPlaces(places, built) {
  if (places.root === "/") return undefined;
  const module = join(built, "dist", "common", "own-folder.js");
  if (!existsSync(module)) return "not built yet, and without --root nothing needs it; run `npm run build`";
  /** @type {{faultOfFolder: (folder: string) => string | undefined}} */
  const { faultOfFolder } = await import(pathToFileURL(module).href);
  for (const folder of [
    places.root,
    places.libraryFolder,
    places.commandFolder,
    places.configFolder,
    places.stateFolder,
    dirname(places.unit),
  ]) {
    const fault = faultOfFolder(folder) ?? linkOnTheWay(places.root, folder);
    if (fault !== undefined)
      return (
        `--root ${places.root}: ${fault}; choose a folder that nobody else may write, ` +
        "in folders that nobody else may write, without links below it"
      );
  }
  return undefined;
}

/**
 * A link below another root is meant for whoever lives there: seen from here it leads elsewhere.
 * @param {string} root
 * @param {string} folder
 */
function linkOnTheWay(root, folder) {
  for (let place = folder; place !== root && place !== dirname(place); place = dirname(place))
    if (readLink(place) !== undefined) return `${place} is a link`;
  return undefined;
}

/**
 * Replaces a file whole: who reads it, also after this was killed half-way, has one version or the other.
 * @param {string} path
 * @param {string} content
 */
export function replaceFile(path, content) {
  const passing = passingName(path);
  rmSync(passing, { force: true });
  writeFileSync(passing, content, { mode: 0o644, flag: "wx" });
  renameSync(passing, path);
}

/**
 * Removes what a run that was killed left half-made. Only under the lock.
 * @param {Places} places
 */
export function removeUnfinished(places) {
  const commands = existsSync(places.commandFolder)
    ? readdirSync(places.commandFolder).map((name) => join(places.commandFolder, name))
    : [];
  const passing = [
    ...[places.current, places.config, places.unit, places.socketUnit].map(passingName),
    ...commands.filter((path) => path.endsWith(unfinished)),
  ];
  for (const path of passing) rmSync(path, { force: true });
}

/**
 * The name something has until it is whole.
 * @param {string} path
 */
function passingName(path) {
  return `${path}${unfinished}`;
}

/**
 * The options both commands take.
 * @param {readonly string[]} words
 * @param {string} usage
 * @returns {Options | {problem: string}}
 */
export function parseOptions(words, usage) {
  /** @type {Options} */
  const options = { root: "/", start: true, build: true };
  for (let index = 0; index < words.length; index++) {
    const [name, ...rest] = (words[index] ?? "").split("=");
    const value = () => (rest.length > 0 ? rest.join("=") : (words[++index] ?? ""));
    if (name === "--root") options.root = value();
    else if (name === "--no-start") options.start = false;
    else if (name === "--no-build") options.build = false;
    else return { problem: `${words[index]}: not an option of this; ${usage}` };
    if (!options.root.startsWith("/"))
      return { problem: `--root ${options.root}: must be a folder with its full path; ${usage}` };
    options.root = resolve(options.root);
  }
  return options;
}

/**
 * The folder name of the bundle in use; undefined when none is installed.
 * @param {Places} places
 */
export function currentBundle(places) {
  const link = readLink(places.current);
  return link === undefined ? undefined : basename(link);
}

/**
 * Whether a daemon runs from a bundle, as after `--no-start`: it loads parts, and starts servers, when they are needed.
 * @param {string} bundle its path as the installed files have it
 */
export function isRunFrom(bundle) {
  return readdirSync("/proc").some(
    (name) => /^\d+$/.test(name) && commandLineOf(name)?.includes(`${bundle}/bin/`) === true,
  );
}

/**
 * Words of a process, each with its end; undefined when it has ended.
 * @param {string | number} pid
 */
export function commandLineOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return undefined;
  }
}

/**
 * Commands on the path that are links into the library.
 * @param {Places} places
 * @param {string} path
 */
export function isOurCommand(places, path) {
  return readLink(path)?.startsWith(`${places.library}/`) === true;
}

/**
 * Puts a symbolic link in the place of whatever link is there, in one step.
 * @param {string} path
 * @param {string} target
 */
export function replaceLink(path, target) {
  const passing = passingName(path);
  rmSync(passing, { force: true });
  symlinkSync(target, passing);
  renameSync(passing, path);
}

/** @param {string} path */
export function readLink(path) {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isSymbolicLink() ? readlinkSync(path) : undefined;
}

/** @param {string} path */
export function readIfThere(path) {
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

/**
 * @param {string} folder
 * @returns {boolean} false when something is in it, or on it
 */
export function removeIfEmpty(folder) {
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT") return true;
    if (code !== undefined && ["ENOTEMPTY", "EEXIST", "EBUSY"].includes(code)) return false;
    throw error;
  }
}

/**
 * Whether the host's services are systemd's, and are to be touched: not when installing below another root.
 * @param {Places} places
 */
export function hasSystemd(places) {
  return places.root === "/" && existsSync("/run/systemd/system");
}

/** @param {string[]} args */
export function systemctl(...args) {
  return run("systemctl", args);
}

/**
 * Node heeds `detached` here, too, though its types do not know it.
 * @type {import("node:child_process").SpawnSyncOptionsWithStringEncoding & {detached: boolean}}
 */
const ownSession = { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], detached: true };

/**
 * Runs a command that Ctrl-C does not reach: what was begun is finished, or taken back.
 * @param {string} command
 * @param {readonly string[]} args
 * @returns whether it succeeded, and what it printed
 */
export function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, ownSession);
  // Without the program there is neither.
  const [out, err] = [/** @type {string | null} */ (stdout), /** @type {string | null} */ (stderr)];
  return { ok: status === 0, stdout: (out ?? "").trim(), stderr: (error?.message ?? err ?? "").trim() };
}

/**
 * What the daemon that answers on the default control socket says; undefined when none does.
 * @param {string} program
 * @returns {DaemonStatus | undefined}
 */
export function daemonStatus(program) {
  const answer = run(process.execPath, [program, "status", "--json"]);
  if (!answer.ok) return undefined;
  /** @type {DaemonStatus} */
  const status = JSON.parse(answer.stdout);
  return status;
}
