import { existsSync, readFileSync } from "node:fs";
import { until, type DockerHost } from "../../integration/lab/index.js";

/** Waits for the file in which a program that went to the background tells its process id. */
export function readPid(host: DockerHost, file: string): Promise<number> {
  return until(() => Number(readFileSync(host.path(file), "utf8")), { what: `a process id in ${file}` });
}

/** Ends a process of the host, named by its number inside, and waits until it is gone. */
export async function endProcess(host: DockerHost, pid: number): Promise<void> {
  await host.signal("SIGTERM", pid);
  await until(() => !existsSync(host.path(`/proc/${pid}`)), { what: `process ${pid} ends` });
}
