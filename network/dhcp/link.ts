import { PontoonError } from "../../common/errors.js";
import { insideNamespace } from "../../linux/netns.js";
import { linkNamed } from "../../linux/netlink/rtnetlink/links.js";
import { Rtnetlink } from "../../linux/netlink/rtnetlink/rtnetlink.js";

/** A link of a namespace. */
export interface LinkPlace {
  /** Where the namespace is opened. */
  readonly path: string;
  /** Tells it from another one at the same path. */
  readonly inode: number;
  readonly ifname: string;
}

/** Runs `work` in a link's namespace. Throws NO_LINK, and what {@link insideNamespace} throws. */
export function atLink<Result>(
  { path, inode, ifname }: LinkPlace,
  work: (index: number, mac: string) => Result,
): Result {
  return insideNamespace(path, inode, () => {
    const rtnetlink = new Rtnetlink();
    try {
      const link = linkNamed(rtnetlink, ifname);
      if (link === undefined || link.mac === "")
        throw new PontoonError("NO_LINK", ifname, `there is no link ${ifname} in ${path}`);
      return work(link.index, link.mac);
    } finally {
      rtnetlink.close();
    }
  });
}
