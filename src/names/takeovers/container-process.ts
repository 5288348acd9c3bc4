import { readProcFile } from "../../../linux/proc.js";

const ownFiles = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
/** What is read of each file, bytes. A container with CAP_SYS_ADMIN can mount 100,000 file systems; Docker's mounts come first. */
const textAtMost = 256 * 1024;

/**
 * Whether a process of this machine is in a container, by its full id: Docker names control groups and the files it mounts
 * over a container's own after it. The number that a dockerd of another machine or pid namespace gives stands for
 * another process here, or none. What is not told at the beginning of both files does not count. Throws ENOENT or ESRCH when
 * there is no such process.
 */
export function isProcessOf(pid: number, container: string): boolean {
  const read = (file: string) => readProcFile(`/proc/${pid}/${file}`, textAtMost).text;
  return read("cgroup").includes(container) || mountsFilesOf(read("mountinfo"), container);
}

/** @param mountinfo as proc(5) has it: the source's path within its file system is the fourth word, the place the fifth */
export function mountsFilesOf(mountinfo: string, container: string): boolean {
  return mountinfo.split("\n").some((line) => {
    const [, , , source = "", place = ""] = line.split(" ", 5);
    return ownFiles.includes(place) && source.split("/").includes(container);
  });
}
