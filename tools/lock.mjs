// A lock between runs of these tools. The kernel lets go of it when its holder ends, however it does, so none is ever left behind.
// It is taken before npm packages are installed, so it uses nothing but Node itself.
// Node has no flock(2): flock(1) locks a descriptor it is handed, and the lock, which belongs to the open file, stays with us.
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  unlinkSync,
} from "node:fs";
import { spawnSync } from "node:child_process";
import { basename } from "node:path";
import { codeOf, refuse, say } from "./prepare.mjs";

const triesAtMost = 8;
const waitedFor = 200; // ms, between looks

/**
 * Takes the lock on a folder that is there, or on a file that is made and goes with the lock.
 * @param {string} path
 * @returns undefined when another process holds it, else a function that lets go of it, which the end of the process does as well
 */
export function takeLock(path) {
  for (let tried = 0; tried < triesAtMost; tried++) {
    const isFolder = lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
    const fd = openLock(path, isFolder);
    const { status, error } = spawnSync("flock", ["-n", "3"], { stdio: ["ignore", "ignore", "ignore", fd] });
    if (error !== undefined)
      refuse(`flock is missing, without which two runs could undo each other's work; install it (Debian: util-linux)`);
    // Its last holder may have removed the file between our opening and our locking: then the lock is on nothing.
    if (status === 0 && lstatSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino)
      return releaser(path, fd, isFolder);
    closeSync(fd);
    if (status !== 0) return undefined;
  }
  return undefined;
}

/**
 * As {@link takeLock}, but waits until the other process has let go, and says for whom.
 * @param {string} path
 * @param {string} what what is done under it
 * @param {() => Promise<void>} mayGoOn rejects when it should not wait any longer
 */
export async function waitForLock(path, what, mayGoOn = async () => {}) {
  for (let told = false; ; told = true) {
    const release = takeLock(path);
    if (release !== undefined) return release;
    await mayGoOn();
    if (!told) say(`waiting until ${holderOf(path)} has finished ${what}`);
    await new Promise((resolve) => setTimeout(resolve, waitedFor));
  }
}

/**
 * Who has the lock, for people: of the processes that have it open, one that is not about to ask for it, too, is as good as any.
 * @param {string} path
 */
export function holderOf(path) {
  const place = placeOf(path);
  if (place === undefined) return "another run";
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    try {
      const isHolder = readdirSync(`/proc/${pid}/fd`).some((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === place);
      const tool =
        isHolder &&
        readFileSync(`/proc/${pid}/cmdline`, "utf8")
          .split("\0")
          .find((word) => /(^|\/)tools\/[\w-]+\.mjs$/.test(word));
      if (tool) return `${basename(tool, ".mjs")} (pid ${pid})`;
    } catch {
      // it has ended, or is another user's
    }
  }
  return "another run";
}

/**
 * Undefined when its holder has let go since, and the file went with the lock.
 * @param {string} path
 */
function placeOf(path) {
  try {
    return realpathSync(path);
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
    return undefined;
  }
}

/**
 * @param {string} path
 * @param {boolean} isFolder
 */
function openLock(path, isFolder) {
  try {
    return openSync(
      path,
      (isFolder ? constants.O_RDONLY : constants.O_RDWR | constants.O_CREAT) |
        constants.O_NOFOLLOW |
        constants.O_NONBLOCK,
      0o600,
    );
  } catch (error) {
    refuse(`${path} cannot be locked (${codeOf(error)}); permit writing there, or remove what has that name`);
  }
}

/**
 * @param {string} path
 * @param {number} fd
 * @param {boolean} isFolder
 */
function releaser(path, fd, isFolder) {
  const release = () => {
    process.off("exit", release);
    if (!isFolder) unlinkSync(path);
    closeSync(fd);
  };
  process.on("exit", release);
  return release;
}
