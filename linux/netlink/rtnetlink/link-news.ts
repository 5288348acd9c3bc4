import { decodeIP } from "../../../common/address.js";
import { errorCode } from "../../../common/errors.js";
import { Attributes } from "../attributes.js";
import { NetlinkSocket, type Received } from "../netlink-socket.js";
import { readLink } from "./link-list.js";

/** `RTNLGRP_*`. */
const groups = [1 /* links */, 5 /* IPv4 addresses */, 9 /* IPv6 addresses */] as const;
const RTM = { newLink: 16, deleteLink: 17, deleteAddress: 21 } as const;
/** `struct ifaddrmsg`. */
const ADDRESS_SIZE = 8;
const IFA = { address: 1, local: 2 } as const;
/** Bytes for what waits to be read; the kernel counts some 2 KB for each piece of news. */
const receiveBuffer = 1 << 20;
/** Messages read at a time; the rest is there at the next. */
const readAtMost = 1024;

/** What has become of a link, or of an address, in a network namespace. */
export type LinkNewsItem =
  | {
      readonly kind: "link";
      readonly name: string;
      readonly index: number;
      readonly isUp: boolean;
      readonly hasCarrier?: boolean | undefined;
    }
  | { readonly kind: "link-gone"; readonly name: string }
  | { readonly kind: "address-gone"; readonly ip: string };

/** What the kernel tells of links and addresses by itself, in the network namespace in which this is made (rtnetlink(7)). */
export class LinkNews {
  readonly #socket = new NetlinkSocket(0, "rtnetlink");

  constructor() {
    try {
      this.#socket.subscribe(groups, receiveBuffer);
    } catch (error) {
      this.#socket.close();
      throw error;
    }
  }

  /** Can be called once. */
  close(): void {
    this.#socket.close();
  }

  /** What has been told since the last time; undefined when it was more than the kernel keeps, and anything may have happened. */
  read(): LinkNewsItem[] | undefined {
    const items: LinkNewsItem[] = [];
    try {
      for (let count = 0; count < readAtMost; count++) {
        const received = this.#socket.receive();
        if (received.length === 0) return items;
        for (const message of received) items.push(...itemIn(message));
      }
      return items;
    } catch (error) {
      if (errorCode(error) === "ENOBUFS") return undefined;
      throw error;
    }
  }
}

function itemIn(received: Received): LinkNewsItem[] {
  if (received.kind !== "reply") return [];
  const { type, payload } = received;
  if (type === RTM.newLink || type === RTM.deleteLink) {
    const { name, index, isUp, hasCarrier } = readLink(payload);
    return [type === RTM.newLink ? { kind: "link", name, index, isUp, hasCarrier } : { kind: "link-gone", name }];
  }
  if (type !== RTM.deleteAddress) return [];
  const attributes = new Attributes(payload.subarray(ADDRESS_SIZE));
  const raw = attributes.raw(IFA.local) ?? attributes.raw(IFA.address);
  return raw?.length === 4 || raw?.length === 16 ? [{ kind: "address-gone", ip: decodeIP(raw) }] : [];
}
