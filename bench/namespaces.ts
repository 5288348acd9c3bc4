import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { encodeQuery } from "../integration/host/dns-message.js";
import type { SandboxPlace } from "../src/inventory/types.js";
import { encodeAddress } from "../src/linux/address.js";
import { sendDatagram } from "../src/linux/datagram.js";
import { insideNamespace } from "../src/linux/netns.js";
import { closeDescriptor, receiveBytes, udpSocket, WOULD_BLOCK } from "../src/linux/socket.js";
import { until } from "../integration/host/until.js";

const resolver = encodeAddress({ ip: "127.0.0.11", port: 53 });
const madeAtOnce = 16;

/** Network namespaces, each with one process in it and nothing but its loopback interface. */
export class Namespaces {
  readonly #processes: ChildProcess[] = [];

  /** Makes this many more. */
  async make(count: number): Promise<SandboxPlace[]> {
    const places: SandboxPlace[] = [];
    for (let made = 0; made < count; made += madeAtOnce)
      places.push(...(await Promise.all(Array.from({ length: Math.min(madeAtOnce, count - made) }, () => this.#makeOne()))));
    return places;
  }

  /** Asks 127.0.0.11 for each of the names from inside, and waits until all are answered. */
  async ask({ pid }: SandboxPlace, names: readonly string[]): Promise<void> {
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

  /** Ends all processes, and with them the namespaces. */
  end(): void {
    for (const process of this.#processes.splice(0)) process.kill("SIGKILL");
  }

  async #makeOne(): Promise<SandboxPlace> {
    const child = spawn("unshare", ["--net", "sh", "-ec", "ip link set lo up; echo; exec sleep 1000000"], { stdio: ["ignore", "pipe", "inherit"] });
    this.#processes.push(child);
    await once(child.stdout, "data");
    child.stdout.destroy();
    return { id: child.pid!.toString(16).padStart(64, "5"), pid: child.pid! };
  }
}
