import { setImmediate as nextTurn } from "node:timers/promises";
import type { Logger } from "pino";
import { encodeIPv6, familyOf } from "../../common/address.js";
import { readProcFile } from "../../linux/proc.js";
import { correctLinks, restoreOwnLines, type LinkedHost } from "./hosts-file.js";
import { describeError } from "../../common/errors.js";
import { editInPlace } from "../../common/edit-in-place.js";
import type { Inventory } from "../inventory/inventory.js";
import type { Container, Endpoint } from "../inventory/types.js";

/** Docker's reserved name of the only network whose links are lines in a file. */
const defaultBridge = "bridge";
/** Links of a container that are looked after, the first of them. */
const linksAtMost = 256;
/** Bytes of hosts files after which others get their turn: an edit is synchronous. */
const bytesATurn = 256 * 1024;
/** What is read of the lists of a namespace's addresses, bytes: the container can add addresses of its own. */
const addressesAtMost = 64 * 1024;
/** An edit of Docker's own may fall together with ours: what was looked at is looked at once more, this much later (ms). */
const settled = 200;

/** A container with links, from one start to its end. */
interface Parent {
  readonly sandbox: string;
  /** Of the container's first process. */
  readonly pid: number;
  /**
   * Ids by alias. Docker names a child by its present name, so that after a rename the last look at the parent has the
   * old one; a dockerd that is restarted then forgets all links of the parent, and never edits its file again.
   */
  readonly children: Map<string, string>;
  /** What the file was last made to say. */
  wanted: string;
  /** Why that failed. */
  problem: string | undefined;
}

interface Wanted {
  readonly links: readonly LinkedHost[];
  readonly hostname: string;
  readonly addresses: readonly string[];
}

/**
 * Keeps the hosts files of containers with `--link` on the default bridge right where Docker does not: a child renamed,
 * or with another address without a restart; the container's own lines, all of which go when it leaves one network
 * (seen with Docker 20.10). Every such damage comes with an event, so that the files need not be watched.
 */
export class HostsKeeper {
  readonly #parents = new Map<string, Parent>();
  readonly #changed = new Set<string>();
  readonly #again = new Set<NodeJS.Timeout>();
  #stopListening: (() => void) | undefined;

  constructor(
    private readonly inventory: Inventory,
    private readonly log: Logger,
    /** Where a file that dockerd names can be opened. */
    private readonly pathOf: (file: string) => string = (file) => file,
  ) {}

  start(): void {
    if (this.#stopListening) return;
    this.#stopListening = this.inventory.onChange(({ containers }) => this.#schedule(containers));
    this.#schedule(new Set(this.inventory.containers.keys()));
  }

  stop(): void {
    this.#stopListening?.();
    this.#stopListening = undefined;
    for (const timer of this.#again) clearTimeout(timer);
    this.#again.clear();
    this.#changed.clear();
    this.#parents.clear();
  }

  /** Changes of one turn of the event loop are looked at together. */
  #schedule(changed: ReadonlySet<string>): void {
    if (changed.size === 0) return;
    if (this.#changed.size === 0) setImmediate(() => this.#review());
    for (const id of changed) this.#changed.add(id);
  }

  #review(): void {
    if (!this.#stopListening) return;
    const changed = new Set(this.#changed);
    this.#changed.clear();
    for (const id of this.#parents.keys()) if (!this.inventory.containers.has(id)) this.#parents.delete(id);
    const touched = [...this.inventory.containers.values()]
      .filter((container) => this.#isTouched(container, changed))
      .map(({ id }) => id);
    if (touched.length === 0) return;
    void this.#repairAll(touched);
    const timer = setTimeout(() => {
      this.#again.delete(timer);
      void this.#repairAll(touched);
    }, settled);
    this.#again.add(timer.unref());
  }

  async #repairAll(ids: readonly string[]): Promise<void> {
    let bytes = 0;
    for (const id of ids) {
      if (bytes >= bytesATurn) {
        bytes = 0;
        await nextTurn();
      }
      if (!this.#stopListening) return;
      bytes += this.#repair(id);
    }
  }

  #isTouched(container: Container, changed: ReadonlySet<string>): boolean {
    const parent = this.#parentOf(container);
    if (!parent) return false;
    if (changed.has(container.id)) return true;
    return (
      [...parent.children.values()].some((id) => changed.has(id)) &&
      JSON.stringify(this.#wantedOf(container, parent)) !== parent.wanted
    );
  }

  /** Undefined for a container without links, or whose hosts file is not Docker's own. */
  #parentOf(container: Container): Parent | undefined {
    const { id, sandbox } = container;
    const known = this.#parents.get(id);
    if (!sandbox || known?.sandbox !== sandbox.id) this.#parents.delete(id);
    // With a user's own file mounted at /etc/hosts, that is the path Docker tells.
    if (sandbox?.kind !== "process" || !container.hostsPath.endsWith(`/${id}/hosts`) || !bridgeEndpoint(container))
      return undefined;
    const parent =
      known?.sandbox === sandbox.id
        ? known
        : {
            sandbox: sandbox.id,
            pid: sandbox.pid,
            children: new Map<string, string>(),
            wanted: "",
            problem: undefined,
          };
    for (const [name, alias] of container.legacyLinks.slice(0, linksAtMost))
      if (!parent.children.has(alias)) this.#bind(parent, name, alias);
    if (parent.children.size === 0) return undefined;
    this.#parents.set(id, parent);
    return parent;
  }

  #bind(parent: Parent, name: string, alias: string): void {
    const child = this.inventory.named(name);
    if (child) parent.children.set(alias, child.id);
  }

  #wantedOf(container: Container, { children }: Parent): Wanted {
    const links = [...children].map(([alias, id]) => this.#linkedHost(alias, id)).filter((link) => link !== undefined);
    return { links, hostname: container.hostname, addresses: container.endpoints.flatMap(addressesOf) };
  }

  /** Undefined for a child that is stopped, gone or elsewhere: its line is left to Docker. */
  #linkedHost(alias: string, id: string): LinkedHost | undefined {
    const child = this.inventory.containers.get(id);
    const endpoint = child && bridgeEndpoint(child);
    if (!child?.running || !endpoint) return undefined;
    return { alias, hostname: child.hostname, name: child.name, addresses: addressesOf(endpoint) };
  }

  /** @returns how many bytes were looked at */
  #repair(id: string): number {
    const container = this.inventory.containers.get(id);
    const parent = container && this.#parentOf(container);
    if (!parent) return 0;
    const wanted = this.#wantedOf(container, parent);
    parent.wanted = JSON.stringify(wanted);
    try {
      const { repaired, bytes } = editInPlace(this.pathOf(container.hostsPath), (content) =>
        correct(content, wanted, parent.pid),
      );
      if (repaired)
        this.log.info(
          { container: container.name, file: container.hostsPath },
          "corrected what Docker forgot in a container's hosts file",
        );
      parent.problem = undefined;
      return bytes;
    } catch (error) {
      const reason = describeError(error);
      if (reason !== parent.problem)
        this.log.warn(
          { container: container.name, reason },
          "could not correct a container's hosts file; the next change tries again",
        );
      parent.problem = reason;
      return 0;
    }
  }
}

function bridgeEndpoint({ endpoints }: Container): Endpoint | undefined {
  return endpoints.find((endpoint) => endpoint.networkName === defaultBridge && addressesOf(endpoint).length > 0);
}

function addressesOf({ ipv4, ipv6 }: Endpoint): string[] {
  return [ipv4, ipv6].filter((address) => address !== undefined);
}

/** Docker takes an address off the namespace before its line goes, and puts it there after its line: only one that is there misses a line. */
function correct(content: Buffer, { links, hostname, addresses }: Wanted, pid: number): Buffer {
  const linked = correctLinks(content, links);
  const restored = restoreOwnLines(linked, hostname, addresses);
  return restored === linked ? linked : restoreOwnLines(linked, hostname, inNamespace(pid, addresses));
}

/** Those of a container's addresses that its namespace has, as far as can be seen. */
function inNamespace(pid: number, addresses: readonly string[]): string[] {
  const ipv4 = readProcFile(`/proc/${pid}/net/fib_trie`, addressesAtMost).text;
  const isThere = (address: string) =>
    familyOf(address) === "ipv4"
      ? ipv4.includes(`|-- ${address}\n`)
      : ipv6().includes(encodeIPv6(address).toString("hex"));
  let read: string | undefined;
  const ipv6 = () => (read ??= readProcFile(`/proc/${pid}/net/if_inet6`, addressesAtMost).text);
  return addresses.filter(isThere);
}
