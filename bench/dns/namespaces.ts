import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { encodeQuery } from "../../integration/lab/dns-message.js";
import type { SandboxPlace } from "../../src/inventory/types.js";

/** The namespace of a process that does nothing. */
export type ProcessPlace = SandboxPlace & { readonly kind: "process" };
import { encodeAddress } from "../../linux/address.js";
import { sendDatagram } from "../../linux/datagram.js";
import { insideNamespace } from "../../linux/netns.js";
import { closeDescriptor, receiveBytes, udpSocket, WOULD_BLOCK } from "../../linux/socket.js";
import { until } from "../../integration/lab/until.js";

const resolver = encodeAddress({ ip: "127.0.0.11", port: 53 });

/**
 * Makes a place for each id it reads, and tells the process in it. The file mounted over the container's own is what the
 * first process of a container is known by.
 */
const maker = `
while read id; do
  unshare --net --mount sh -ec '
    mount -t tmpfs none /run
    mkdir "/run/$1"
    touch "/run/$1/hostname"
    mount --bind "/run/$1/hostname" /etc/hostname
    ip link set lo up
    echo "$1 $$"
    exec sleep 1000000 <&- >&-' sh "$id" <&- &
done`;

/**
 * Network namespaces, each with one process in it and nothing but its loopback interface. The process passes for a
 * container's, by the id of the place. To be constructed before the first server is started: from then on this process
 * starts none that may make a namespace.
 */
export class Namespaces {
  /** Not started by execa: it is spoken with line by line, for as long as there are places. */
  readonly #maker = spawn("sh", ["-c", maker], { stdio: ["pipe", "pipe", "inherit"] });
  readonly #wanted = new Map<string, (pid: number) => void>();
  readonly #pids = new Set<number>();

  constructor() {
    createInterface({ input: this.#maker.stdout }).on("line", (line) => {
      const [id = "", pid] = line.split(" ");
      this.#pids.add(Number(pid));
      this.#wanted.get(id)?.(Number(pid));
      this.#wanted.delete(id);
    });
  }

  /** Makes this many more. */
  async make(count: number): Promise<ProcessPlace[]> {
    const making = Array.from({ length: count }, () => this.#makeOne());
    await until(() => this.#wanted.size === 0, { timeoutMs: 60_000, what: `${count} network namespaces are made` });
    return Promise.all(making);
  }

  /** Asks 127.0.0.11 for each of the names from inside, and waits until all are answered. */
  async ask({ pid }: ProcessPlace, names: readonly string[]): Promise<void> {
    const fd = insideNamespace(`/proc/${pid}/ns/net`, undefined, () => udpSocket());
    try {
      for (const name of names) sendDatagram(fd, encodeQuery(name, "A"), resolver);
      const reply = Buffer.alloc(512);
      let answers = 0;
      await until(
        () => {
          while (receiveBytes(fd, reply) !== WOULD_BLOCK) answers++;
          return answers === names.length;
        },
        { everyMs: 1, what: `${names.length} answers in the namespace of ${pid}` },
      );
    } finally {
      closeDescriptor(fd);
    }
  }

  /** Ends a place's process, and with it the namespace. */
  end({ pid }: ProcessPlace): void {
    if (this.#pids.delete(pid)) process.kill(pid, "SIGKILL");
  }

  endAll(): void {
    this.#maker.stdin.end();
    for (const pid of this.#pids) process.kill(pid, "SIGKILL");
    this.#pids.clear();
  }

  #makeOne(): Promise<ProcessPlace> {
    const id = randomBytes(32).toString("hex");
    const made = new Promise<ProcessPlace>((resolve) =>
      this.#wanted.set(id, (pid) => resolve({ kind: "process", id, pid })),
    );
    this.#maker.stdin.write(`${id}\n`);
    return made;
  }
}
