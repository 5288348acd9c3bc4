import { closeSync, openSync, readSync } from "node:fs";

/** A container with CAP_SYS_ADMIN can have a hundred thousand mounts; Docker's own are the first of them. Bytes. */
const fileAtMost = 256 << 10;
const ownFiles = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

/**
 * Whether a process of this machine is in a container, by its full id: Docker names control groups and the files it mounts
 * over a container's own after it. The number that a dockerd of another machine or pid namespace gives stands for
 * another process here, or none. Throws ENOENT or ESRCH when there is no such process.
 */
export function isProcessOf(pid: number, container: string): boolean {
  const read = (file: string) => beginningOf(`/proc/${pid}/${file}`);
  return read("cgroup").includes(container) || mountsFilesOf(read("mountinfo"), container);
}

/** @param mountinfo as proc(5) has it: the source's path within its file system is the fourth word, the place the fifth */
export function mountsFilesOf(mountinfo: string, container: string): boolean {
  return mountinfo.split("\n").some((line) => {
    const [, , , source = "", place = ""] = line.split(" ");
    return ownFiles.includes(place) && source.split("/").includes(container);
  });
}

function beginningOf(path: string): string {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.allocUnsafe(fileAtMost);
    let size = 0;
    for (let length = 1; length > 0 && size < fileAtMost; size += length) length = readSync(file, bytes, size, fileAtMost - size, null);
    return bytes.toString("utf8", 0, size);
  } finally {
    closeSync(file);
  }
}
