import { bridgesOf } from "../linux/netlink/rtnetlink/links.js";
import type { Rtnetlink } from "../linux/netlink/rtnetlink/rtnetlink.js";

/** Whether Docker gives its bridges such names, unless it is told another (`com.docker.network.bridge.name`). */
export function isDockersBridge(name: string): boolean {
  return /^(docker0|docker_gwbridge|br-[0-9a-f]{12})$/.test(name);
}

/** Names of bridges on the host that look like Docker's, for as long as Docker has not told of them. Throws NetlinkError. */
export function dockersBridges(host: Rtnetlink): string[] {
  return bridgesOf(host)
    .map(({ name }) => name)
    .filter(isDockersBridge);
}
