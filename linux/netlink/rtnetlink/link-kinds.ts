import { formatInfo } from "netlink/dist/rt/ifla.js";
import { insideNewNamespace } from "../../netns.js";
import { bytesOf } from "./encode.js";
import { request, RTM_NEWLINK } from "./links.js";
import { MAKE, Rtnetlink } from "./rtnetlink.js";

/**
 * Whether the kernel can make WireGuard links; it loads the module for it where there is one. Tried in a network namespace that is
 * gone with the link afterwards. Throws {@link NetlinkError} where it cannot be tried, LinuxError without the privilege to.
 */
export function hasWireguard(): boolean {
  return hasLinkKind("wireguard");
}

/** As {@link hasWireguard}, of a kind that needs nothing but a name: `wireguard`, `bridge`. */
export function hasLinkKind(kind: string): boolean {
  return insideNewNamespace(() => {
    const rtnetlink = new Rtnetlink();
    try {
      const attributes = { ifname: "probe", linkinfo: bytesOf(formatInfo({ kind })) };
      const [failure] = rtnetlink.requestEach([
        request(RTM_NEWLINK, MAKE.only, {}, attributes, [`try a ${kind} link`]),
      ]);
      if (failure && failure.error.code !== "ENOTSUP") throw failure.error;
      return failure === undefined;
    } finally {
      rtnetlink.close();
    }
  });
}
