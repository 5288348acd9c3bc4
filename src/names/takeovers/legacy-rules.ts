import { RESOLVER_ADDRESS } from "../../../dns/protocol.js";
import { errorCode, PontoonError } from "../../../common/errors.js";
import { LegacyTables, legacyTableInfo, readLegacyTable } from "../../../linux/legacy-iptables.js";
import { insideNamespace } from "../../../linux/netns.js";
import { closeDescriptor, udpSocket } from "../../../linux/socket.js";
import { Turns } from "./turns.js";
import { findDnsRedirect } from "./dns-redirect.js";
import { legacyNat } from "./legacy-nat.js";
import { budget, isDockersOwn, limits, within } from "./namespace-rules.js";

// Rules of iptables' legacy variant: no nftables rules, and nobody is told when they change.

const table = "nat";
/** The lock on legacy tables is the whole host's: one who keeps it must not keep the threads for nftables from anybody. */
const thread = new Turns(1);
/** Somebody keeps it; until whoever waits has had it, nobody else does. */
let isLocked = false;

/** The nat table of one network namespace. Keeps the namespace alive until it is closed. */
export class LegacyRules {
  readonly #tables: LegacyTables;
  /** To ask in the namespace; made when there is something to ask for. */
  #socket: number | undefined;
  #underWay = 0;
  #closed = false;

  /**
   * @param path e.g. `/proc/4711/ns/net`
   * @param inode which namespace is meant: throws, and what is asked rejects, when the path stands for another one by now
   */
  constructor(
    private readonly path: string,
    private readonly inode: number,
  ) {
    this.#tables = insideNamespace(path, inode, () => new LegacyTables("/proc/thread-self/net"));
  }

  /**
   * A rule that redirects what is asked of the namespace's resolver. One who keeps the lock must keep nobody from being taken
   * over: then there is no such rule, as far as is known. Rejects with RULES_TOO_MANY.
   */
  foreignDnsRule(): Promise<string | undefined> {
    return this.#read(async (fd) => {
      const found = await readLegacyTable(fd, table, limits.bytes);
      if (!found)
        throw new PontoonError(
          "RULES_TOO_MANY",
          "the network namespace",
          `the nat table of iptables-legacy is larger than ${limits.bytes} bytes`,
        );
      return findDnsRedirect(legacyNat(found), RESOLVER_ADDRESS, isDockersOwn, budget());
    });
  }

  /** What tells whether the rules have changed, roughly; undefined while there are none, or nobody can tell. */
  async fingerprint(): Promise<string | undefined> {
    const info = await this.#read((fd) => legacyTableInfo(fd, table));
    return info && JSON.stringify(info);
  }

  /** Can be called twice. What is being read is read to its end before. */
  close(): void {
    this.#closed = true;
    if (this.#underWay > 0) return;
    this.#tables.close();
    if (this.#socket !== undefined) closeDescriptor(this.#socket);
    this.#socket = undefined;
  }

  /** @returns undefined when there is no table, or it cannot be read for now */
  async #read<Value>(work: (fd: number) => Promise<Value>): Promise<Value | undefined> {
    if (isLocked || this.#closed) return undefined;
    try {
      return await within(thread, () => this.#readNow(work).finally(() => (isLocked = false)));
    } catch (error) {
      if (errorCode(error) !== "RULES_BUSY") throw error;
      isLocked = true;
      return undefined;
    }
  }

  async #readNow<Value>(work: (fd: number) => Promise<Value>): Promise<Value | undefined> {
    if (this.#closed) return undefined;
    this.#underWay++;
    try {
      if (!(await this.#tables.has(table)) || this.#closed) return undefined;
      this.#socket ??= insideNamespace(this.path, this.inode, udpSocket);
      return await work(this.#socket);
    } finally {
      this.#underWay--;
      if (this.#closed) this.close();
    }
  }
}

/** As {@link LegacyRules.foreignDnsRule}, once. */
export async function foreignLegacyRule(path: string, inode: number): Promise<string | undefined> {
  const rules = new LegacyRules(path, inode);
  try {
    return await rules.foreignDnsRule();
  } finally {
    rules.close();
  }
}
