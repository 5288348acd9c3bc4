import type { ClientRequest, DatagramReply, Place, Tally } from "./client-child.js";
import type { Container } from "./container.js";
import type { ContainerOptions, DockerHost } from "./docker-host.js";
import type { HelperProcess } from "./helper-process.js";
import { helperProgram } from "./root.js";
import { until } from "./until.js";

/** A program in the host that uses services as clients do, and is in the way as others are. See `client-child.ts`. */
export class Client {
  readonly #child: HelperProcess<ClientRequest, unknown>;

  constructor(host: DockerHost) {
    this.#child = host.helper(helperProgram("client-child.js"));
  }

  /** Sends a text over TCP. @returns what came back, or the code of an error */
  async talk(ip: string, port: number, text: string): Promise<string> {
    const { answer, error } = await this.#call<{ answer: string; error: string }>({ kind: "talk", ip, port, text });
    return error === "" ? answer : error;
  }

  /** Waits until the service answers, named like this. */
  async answers(ip: string, port: number, name = "", timeoutMs = 10_000): Promise<void> {
    const probe = async () => {
      const said = await this.talk(ip, port, "hello");
      if (said !== `${name}hello`) throw new Error(`it says ${said}`);
      return true;
    };
    await until(probe, { what: `${ip} ${port} answers`, timeoutMs });
  }

  /** Waits until clients of a TCP port are refused. */
  async refused(ip: string, port: number): Promise<void> {
    await until(async () => (await this.talk(ip, port, "x")) === "ECONNREFUSED", { what: `${ip} ${port} is refused` });
  }

  /** @returns the number of a connection that is kept */
  connect(ip: string, port: number): Promise<number> {
    return this.#call({ kind: "connect", ip, port });
  }

  /** @returns `heard` when it came back, else what has become of the connection */
  say(connection: number, text: string): Promise<string> {
    return this.#call({ kind: "say", connection, text });
  }

  state(connection: number): Promise<string> {
    return this.#call({ kind: "state", connection });
  }

  hangUp(connection: number): Promise<void> {
    return this.#call({ kind: "hang-up", connection });
  }

  /** Sends a datagram from a port that stays the same for this service, and waits for what comes back. */
  datagram(
    ip: string,
    port: number,
    options: { from?: number; size?: number; waitMs?: number } = {},
  ): Promise<DatagramReply> {
    const { from = 0, size = 10, waitMs = 1000 } = options;
    return this.#call({ kind: "datagram", ip, port, from, size, waitMs });
  }

  /** Begins to talk to a TCP service again and again. @returns ends it, and tells how often it went how */
  async knock(ip: string, port: number): Promise<() => Promise<Tally>> {
    await this.#call({ kind: "knock", ip, port });
    return () => this.#call({ kind: "knocked" });
  }

  /** Takes a port. @returns why it cannot, or nothing */
  occupy(protocol: "tcp" | "udp", ip: string, port: number): Promise<string> {
    return this.#call({ kind: "occupy", protocol, ip, port });
  }

  /** Leaves every port it took. */
  vacate(): Promise<void> {
    return this.#call({ kind: "vacate" });
  }

  /** Ends it. */
  release(): Promise<void> {
    return this.#child.release();
  }

  #call<Reply>(request: ClientRequest): Promise<Reply> {
    return this.#child.call(request) as Promise<Reply>;
  }
}

export type { DatagramReply, Place, Tally };

/** A container that runs `service-child.ts`, and begins what it says with its name if `says` is given. */
export function service(host: DockerHost, options: ContainerOptions & { says?: string } = {}): Promise<Container> {
  const { says = "", ...rest } = options;
  const command = ["chroot", "/machine", process.execPath, helperProgram("service-child.js"), says];
  return host.container({
    networks: [],
    ...rest,
    command,
    options: ["--volume=/:/machine:ro", ...(rest.options ?? [])],
  });
}

/** What holds ports in the host, as `ss` shows it: `tcp LISTEN 0.0.0.0:8080`. */
export async function sockets(host: DockerHost): Promise<string[]> {
  const { stdout } = await host.exec(["ss", "-Hlntu"]);
  const lines = stdout
    .trim()
    .split("\n")
    .filter(Boolean)
    .map((line) => line.split(/\s+/));
  return lines.map(([protocol, state, , , local]) => `${protocol} ${state} ${local}`).sort();
}
