import { fileURLToPath } from "node:url";
import type { BareHost } from "./bare-host.js";
import type { GateReply, GateRequest, GateTrap } from "./etcd-gate-child.js";
import type { HelperProcess } from "./helper-process.js";

const program = fileURLToPath(new URL("./etcd-gate-child.js", import.meta.url));
const port = 2379;

/** What a host's daemon has between itself and etcd, see `etcd-gate-child.ts`. It ends with the host. */
export class EtcdGate {
  /** What `--store` takes in the host. */
  readonly url = `etcd://127.0.0.1:${port}`;

  private constructor(private readonly process: HelperProcess<GateRequest, GateReply>) {}

  /** @param member the address of one that answers on etcd's usual port */
  static async start(host: Pick<BareHost, "helper">, member: string): Promise<EtcdGate> {
    const gate = new EtcdGate(host.helper(program));
    await gate.process.call({ kind: "listen", member, port });
    return gate;
  }

  /**
   * Does something, and ends the daemon as soon as the trap holds one of its questions.
   * @param kill ends it
   * @returns what the work has come to, or undefined when the daemon was ended
   */
  async during<Result>(
    trap: GateTrap,
    work: () => Promise<Result>,
    kill: () => Promise<void>,
  ): Promise<Result | undefined> {
    await this.process.call({ kind: "set", trap });
    const result = work();
    result.catch(() => undefined); // when the daemon has ended
    const isHeld = await Promise.race([this.process.call({ kind: "wait" }), result.then(() => false)]);
    if (isHeld) await kill();
    await this.process.call({ kind: "take away" });
    return isHeld ? undefined : result;
  }
}
