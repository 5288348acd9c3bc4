import { ENOENT } from "../constants.js";
import { Attributes, AttributeWriter } from "./attributes.js";
import { NetlinkError } from "./nfnetlink.js";
import { Rtnetlink } from "./rtnetlink/rtnetlink.js";

// Generic netlink: many families behind one protocol, each with a number that the kernel gives it (linux/genetlink.h).

const NETLINK_GENERIC = 16;
/** `struct genlmsghdr`. */
const HEADER = { size: 4, command: 0, version: 1 } as const;
/** The family that tells of the others. */
const CONTROL = { id: 0x10, version: 1, getFamily: 3, familyId: 1, familyName: 2 } as const;

/** A message of a family's. */
export interface GenericMessage {
  readonly command: number;
  readonly version: number;
  /** Attributes, one behind the other. */
  readonly body: Buffer;
  /** What it is about, in words. */
  readonly subject: string;
}

/** One family of generic netlink, in the network namespace in which this is made. */
export class GenericNetlink {
  /** Requests, lists and what is said of them are as with rtnetlink: only the protocol is another. */
  readonly #messages = new Rtnetlink(NETLINK_GENERIC, "generic netlink");
  readonly #family: number;

  /** Throws a {@link NetlinkError}: ENOENT where the kernel has no such family, and no module of it. */
  constructor(family: string) {
    try {
      this.#family = this.#find(family);
    } catch (error) {
      this.#messages.close();
      throw error;
    }
  }

  /** Can be called once. */
  close(): void {
    this.#messages.close();
  }

  /** Throws a {@link NetlinkError} for the first that fails. */
  request(...messages: readonly GenericMessage[]): void {
    this.#messages.request(
      ...messages.map((message) => ({
        type: this.#family,
        flags: 0,
        body: encodeMessage(message),
        subject: message.subject,
      })),
    );
  }

  /** A whole list. @param read given the attributes of each message. Throws a {@link NetlinkError}. */
  list<Value>(message: GenericMessage, read: (attributes: Attributes) => Value): Value[] {
    const request = { type: this.#family, flags: 0, body: encodeMessage(message), subject: message.subject };
    return this.#messages.list(request, (payload) => read(new Attributes(Buffer.from(payload.subarray(HEADER.size)))));
  }

  #find(family: string): number {
    const writer = new AttributeWriter(64);
    writer.text(CONTROL.familyName, family);
    const subject = `find the family ${family}`;
    const message = { command: CONTROL.getFamily, version: CONTROL.version, body: writer.bytes, subject };
    const request = { type: CONTROL.id, flags: 0, body: encodeMessage(message), subject };
    const id = this.#messages.get(request, (payload) =>
      new Attributes(payload.subarray(HEADER.size)).raw(CONTROL.familyId)?.readUInt16LE(),
    );
    if (id === undefined) throw new NetlinkError(ENOENT, subject, undefined);
    return id;
  }
}

/** A message as it stands behind netlink's own header. */
export function encodeMessage({ command, version, body }: GenericMessage): Buffer {
  const header = Buffer.alloc(HEADER.size);
  header.writeUInt8(command, HEADER.command);
  header.writeUInt8(version, HEADER.version);
  return Buffer.concat([header, body]);
}
