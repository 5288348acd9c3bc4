// Hosts whose containers have ports published on networks of the driver pontoon, and who asks them.
import type { PortRow } from "../../src/ports/contract.js";
import { DockerHost, until, type DockerHostOptions, type Outside, type Pontoon, type TestOwner } from "../lab/index.js";
import { Talk } from "../networks/talk.js";

/** The host's own addresses towards the outside, and the outside's. */
export const host4 = "10.77.0.1";
export const host6 = "fd77::1";
export const outside4 = "10.77.0.2";
export const outside6 = "fd77::2";

/** A host with somebody outside who asks, and whose containers answer. */
export class PublishingHost {
  readonly talk: Talk;

  private constructor(
    readonly host: DockerHost,
    readonly outside: Outside,
    public pontoon: Pontoon,
  ) {
    this.talk = new Talk(host);
  }

  static async start(t: TestOwner, options: DockerHostOptions = {}): Promise<PublishingHost> {
    const host = await DockerHost.start(t, options);
    const outside = await host.outside();
    await outside.joinIPv6("fd77");
    return new PublishingHost(host, outside, await host.pontoon());
  }

  /** `docker` with one line of words. @returns what it printed */
  docker(line: string): Promise<string> {
    return this.host.docker(...line.split(" "));
  }

  /** `docker` with one line of words that has to fail. @returns what it said */
  async refused(line: string): Promise<string> {
    const { exitCode, stdout, stderr } = await this.host.exec(["docker", ...line.split(" ")], { reject: false });
    if (exitCode === 0) throw new Error(`docker ${line} succeeded: ${stdout}`);
    return stderr.trim();
  }

  /** A container that sleeps. @param line options of `docker run` */
  async run(name: string, line: string): Promise<void> {
    await this.docker(`run --detach --stop-signal=KILL --name ${name} ${line} busybox sleep 1000000`);
  }

  /** As {@link run}, of a container that answers at ports, TCP and UDP. */
  async serve(name: string, line: string, ...ports: readonly number[]): Promise<void> {
    await this.run(name, line);
    await this.answer(name, ...ports);
  }

  /** Has a running container answer, also after a restart, and ask. */
  async answer(name: string, ...ports: readonly number[]): Promise<void> {
    await this.talk.end(name);
    const pid = await this.docker(`inspect --format={{.State.Pid}} ${name}`);
    this.talk.name(name, `/proc/${pid}/ns/net`);
    if (ports.length > 0) await this.talk.serve(name, ...ports);
  }

  /** What `pontoon port --json` tells of a container, or of all. */
  async rows(container?: string): Promise<PortRow[]> {
    const args = container === undefined ? [] : [container];
    const { stdout, stderr, exitCode } = await this.pontoon.cli("port", ...args, "--json");
    if (exitCode !== 0) throw new Error(stderr);
    return JSON.parse(stdout) as PortRow[];
  }

  /** What `pontoon port` tells, one line each. */
  async port(container: string): Promise<string[]> {
    const { stdout } = await this.pontoon.cli("port", container);
    return stdout.trim().split("\n").filter(Boolean);
  }

  /** Waits until nothing is published of a container, or of any. */
  async hasNoPorts(container?: string): Promise<void> {
    await until(
      async () => (await this.rows()).every((row) => container !== undefined && row.container !== container),
      { what: "nothing is published", timeoutMs: 15_000 },
    );
  }

  /** All that endpoints make on a host: links of theirs, forwards, addresses that are given, sockets. */
  async marks(): Promise<string> {
    const look =
      "ip -brief link | cut -d@ -f1 | grep -E 'ptv|ptc|veth' ; nft list table inet pontoon; ss -Hlntu | awk '{print $1, $5}' | sort";
    const { stdout } = await this.host.exec(["sh", "-c", `{ ${look}; } 2>/dev/null || true`]);
    return stdout.replaceAll(/packets \d+ bytes \d+/g, "").replace(/ {2,}timeout.*$/gm, "");
  }
}
