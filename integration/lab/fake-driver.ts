import { fileURLToPath } from "node:url";
import type { BareHost } from "./bare-host.js";
import type { Behaviour, FakeRequest, FakeState } from "./fake-driver-child.js";
import type { HelperProcess } from "./helper-process.js";

export type { Behaviour, FakeCall, FakeState } from "./fake-driver-child.js";

const program = fileURLToPath(new URL("./fake-driver-child.js", import.meta.url));

/** A fake plugin of Docker's kind in a host, see `fake-driver-child.ts`. It ends with the host at the latest. */
export class FakeDriver {
  readonly #process: HelperProcess<FakeRequest, FakeState | undefined>;

  constructor(host: Pick<BareHost, "helper">) {
    this.#process = host.helper(program);
  }

  /** @param at a path of the host for a socket, or a port at 127.0.0.1 */
  async listen(at: string | number = "/run/docker/plugins/fake.sock"): Promise<void> {
    await this.#process.call({ kind: "listen", at });
  }

  /** Ends, as far as anybody can see. @param forgets whether it knows nothing any more when it listens again */
  async end({ forgets = false } = {}): Promise<void> {
    await this.#process.call({ kind: "end", forgets });
  }

  /** @param how undefined for as it ought to */
  async behave(method: string, how: Behaviour | undefined): Promise<void> {
    await this.#process.call({ kind: "behave", method, how });
  }

  async state(): Promise<FakeState> {
    return (await this.#process.call({ kind: "state" }))!;
  }

  /** What it has of networks, endpoints, pools and addresses, on one line, `1 networks, 2 endpoints`; empty when nothing. */
  async held(): Promise<string> {
    const { networks, endpoints, joined, pools, addresses } = await this.state();
    const counts = { networks, endpoints, joined };
    const some = Object.entries(counts).filter(([, each]) => each.length > 0);
    return [...some.map(([what, each]) => `${each.length} ${what}`), ...pools, ...addresses].join(", ");
  }

  release(): Promise<void> {
    return this.#process.release();
  }
}
