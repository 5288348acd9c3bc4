import type { Logger } from "pino";
import { daemonDnsOf } from "./daemon-dns.js";
import type { Admission } from "./admission.js";
import { interfaceNumber } from "./interface-number.js";
import { resolvConfRootOf, rootOf } from "./place.js";
import { pathInRoot } from "./root-path.js";
import type { DockerHostFiles } from "./upstreams.js";

/**
 * Where the files of the dockerd that was admitted are, and what it was told itself.
 * @param admission undefined without Docker: then only the host's own resolv.conf counts
 */
export function filesOfDockerd(
  admission: Admission | undefined,
  log: Logger,
): Omit<DockerHostFiles, "engineMajor" | "forwardFrom"> {
  return {
    resolvConf: () => pathInRoot(admission ? resolvConfRootOf(admission.place) : "", "/etc/resolv.conf"),
    pathOf: (file, opening) => pathInRoot(admission ? rootOf(admission.place) : "", file, opening),
    daemonDns: async () => admission?.settings?.dns ?? daemonDnsOf(undefined),
    interfaceNumber,
    onUnfit: (file, reason) =>
      log.warn({ file, reason }, "a resolv.conf cannot be read; its servers are not asked, and its suffixes not tried"),
  };
}
