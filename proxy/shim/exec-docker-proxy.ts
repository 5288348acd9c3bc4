// Docker's own docker-proxy, which serves where pontoon does not.
import { accessSync, constants, readFileSync, realpathSync } from "node:fs";
import { basename, join } from "node:path";
import { executeProgram } from "../../linux/exec.js";
import { listenDescriptor } from "./listener.js";
import { verdictDescriptor } from "./verdict.js";

/** Executes Docker's own docker-proxy; returns only if there is none. */
export function becomeDockerProxy(withListener: boolean): void {
  const folders = [
    "/usr/local/libexec/docker",
    "/usr/libexec/docker",
    "/usr/local/lib/docker",
    "/usr/lib/docker",
    "/usr/local/libexec",
    "/usr/libexec",
  ];
  for (const folder of [...folders, ...(process.env["PATH"] ?? "").split(":")]) {
    const path = join(folder, "docker-proxy");
    if (folder !== "" && isDockers(path))
      executeProgram(
        path,
        process.argv.slice(2),
        withListener ? [verdictDescriptor, listenDescriptor] : [verdictDescriptor],
      );
  }
}

/** Whether this is a program, and neither our launcher nor the shim. */
function isDockers(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return (
      basename(realpathSync(path)) !== "pontoon-docker-proxy" &&
      !readFileSync(path).includes("PONTOON_DOCKER_PROXY_TRIED")
    );
  } catch {
    return false; // not there
  }
}
