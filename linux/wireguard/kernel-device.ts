import { errorCode } from "../../common/errors.js";
import { GenericNetlink } from "../netlink/generic-netlink.js";
import type { WireguardChanges, WireguardDevice, WireguardState } from "./device.js";
import { getMessage, joinParts, readPart, setMessages, WG_GENL_NAME } from "./kernel-messages.js";

/** A WireGuard link of the kernel's own (Linux 5.6), in the network namespace in which this is made. */
export class KernelDevice implements WireguardDevice {
  readonly #netlink: GenericNetlink;

  /** Throws a NetlinkError: ENOENT where the kernel has no WireGuard. */
  constructor(private readonly link: string) {
    this.#netlink = new GenericNetlink(WG_GENL_NAME);
  }

  read(): WireguardState | undefined {
    try {
      return joinParts(this.#netlink.list(getMessage(this.link), readPart));
    } catch (error) {
      if (errorCode(error) === "ENODEV") return undefined;
      throw error;
    }
  }

  write(changes: WireguardChanges): void {
    this.#netlink.request(...setMessages(this.link, changes));
  }

  close(): void {
    this.#netlink.close();
  }
}
