// Where an installed pontoon is on a host, and how its service is spoken to. Uses nothing but Node itself.
import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, readFileSync, readlinkSync, rmdirSync, rmSync, symlinkSync, renameSync } from "node:fs";
import { basename, join } from "node:path";

export const unit = "pontoon.service";

/** Every place, below `root`: "/" on a host, another folder to build a package or for a test. */
export function placesBelow(root) {
  const at = (path) => join(root, path);
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
    runFolder: at("/run/pontoon"),
  };
}

/** The options both commands take. */
export function parseOptions(words, usage) {
  const options = { root: "/", start: true, build: true };
  for (let index = 0; index < words.length; index++) {
    const [name, ...rest] = words[index].split("=");
    const value = () => (rest.length > 0 ? rest.join("=") : (words[++index] ?? ""));
    if (name === "--root") options.root = value();
    else if (name === "--no-start") options.start = false;
    else if (name === "--no-build") options.build = false;
    else return { problem: `${words[index]}: not an option of this; ${usage}` };
    if (!options.root.startsWith("/")) return { problem: `--root ${options.root}: must be a folder with its full path; ${usage}` };
  }
  return options;
}

/** The folder name of the bundle in use; undefined when none is installed. */
export function currentBundle(places) {
  const link = readLink(places.current);
  return link === undefined ? undefined : basename(link);
}

/** Commands on the path that are links into the library. */
export function isOurCommand(places, path) {
  return readLink(path)?.startsWith(`${places.library}/`) === true;
}

/** Puts a symbolic link in the place of whatever link is there, in one step. */
export function replaceLink(path, target) {
  const passing = `${path}.new-${process.pid}`;
  rmSync(passing, { force: true });
  symlinkSync(target, passing);
  renameSync(passing, path);
}

export function readLink(path) {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isSymbolicLink() ? readlinkSync(path) : undefined;
}

export function readIfThere(path) {
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

/** @returns false when something is in it, or on it */
export function removeIfEmpty(folder) {
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    if (error.code === "ENOENT") return true;
    if (["ENOTEMPTY", "EEXIST", "EBUSY"].includes(error.code)) return false;
    throw error;
  }
}

/** Whether the host's services are systemd's, and are to be touched: not when installing below another root. */
export function hasSystemd(places) {
  return places.root === "/" && existsSync("/run/systemd/system");
}

export function systemctl(...args) {
  return run("systemctl", args);
}

/** @returns whether it succeeded, and what it printed */
export function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  return { ok: status === 0, stdout: (stdout ?? "").trim(), stderr: (error?.message ?? stderr ?? "").trim() };
}

/** What the daemon that answers on the default control socket says; undefined when none does. */
export function daemonStatus(program) {
  const answer = run(process.execPath, [program, "status", "--json"]);
  return answer.ok ? JSON.parse(answer.stdout) : undefined;
}
