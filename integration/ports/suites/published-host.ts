// Hosts whose dockerd starts pontoon's docker-proxy, as the tests of published ports use them.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { PortRow } from "../../../src/ports/contract.js";
import { program } from "./docker-proxy-player.js";
import {
  DockerHost,
  until,
  type Container,
  type Pontoon,
  type PontoonOptions,
  type TestOwner,
  type Visitor,
} from "../../lab/index.js";
import { helperProgram } from "../../lab/root.js";

/** What of a host's published traffic goes through the proxy. */
export interface Mode {
  readonly name: string;
  readonly dockerd: readonly string[];
  /** Where ports are published, and where clients look for them. */
  readonly ip: string;
  /** Whether clients come from another machine. */
  readonly fromOutside: boolean;
  /** Ports of a container that names no address: `0.0.0.0` and `::`, unless dockerd was given one. */
  readonly portsEach: number;
}

/** Docker's defaults: what comes to loopback addresses goes through the proxy, the rest through Docker's NAT. */
export const natMode: Mode = {
  name: "Docker's defaults",
  dockerd: [],
  ip: "127.0.0.1",
  fromOutside: false,
  portsEach: 2,
};
/** A dockerd that leaves the firewall alone: everything goes through the proxy. */
export const proxyMode: Mode = {
  name: "a dockerd that leaves the firewall alone",
  dockerd: ["--iptables=false", "--ip-forward=false", "--ip=10.77.0.1"],
  ip: "10.77.0.1",
  fromOutside: true,
  portsEach: 1,
};

export interface PublishedHostOptions {
  liveRestore?: boolean;
  /** How long shims wait for a pontoon-proxy that has gone; default beyond the test's end. */
  returnMs?: number;
}

/** A host of one mode, with a client of its ports. */
export class PublishedHost {
  /** Where most tests publish their port. */
  readonly place: { ip: string; port: number };

  private constructor(
    readonly host: DockerHost,
    readonly visitor: Visitor,
    readonly mode: Mode,
  ) {
    this.place = { ip: mode.ip, port: 8080 };
  }

  static async start(
    t: TestOwner,
    mode: Mode,
    { liveRestore = false, returnMs = 600_000 }: PublishedHostOptions = {},
  ): Promise<PublishedHost> {
    const host = await DockerHost.start(t, {
      dockerd: [`--userland-proxy-path=${program}`, ...mode.dockerd],
      env: { PONTOON_PATIENCE_MS: "20000", PONTOON_RETURN_MS: String(returnMs) },
      liveRestore,
    });
    const outside = await host.outside();
    const visitor = mode.fromOutside ? outside.visitor() : host.visitor();
    return new PublishedHost(host, visitor, mode);
  }

  pontoon(options?: PontoonOptions): Promise<Pontoon> {
    return this.host.pontoon(options);
  }

  /** A container that sends back what it gets: `echo("web", ["8080:80", "53:53/udp"], ["tcp:80", "udp:53"])`. */
  echo(
    name: string,
    publish: readonly string[],
    services: readonly string[] = ["tcp:80"],
    options: { start?: boolean } = {},
  ): Promise<Container> {
    return this.host.container({
      name,
      options: ["--volume=/:/machine:ro", ...publish.map((each) => `--publish=${each}`)],
      command: ["chroot", "/machine", process.execPath, helperProgram("echo-child.js"), ...services],
      ...options,
    });
  }

  /** Waits until a TCP service answers to {@link place}, or to another place. */
  async answers(place: { protocol?: "tcp" | "udp"; ip: string; port: number } = this.place): Promise<void> {
    await until(async () => (await this.visitor.talk(place, "hello")) === "hello", {
      what: `${place.ip} ${place.port} answers`,
      timeoutMs: 20_000,
    });
  }

  /** Why nobody can connect to a place. */
  async refusal(place: { ip: string; port: number } = this.place): Promise<string> {
    return this.visitor.talk(place, "hello").then(
      () => "it answers",
      (error: Error) => error.message,
    );
  }

  /** The programs that run as docker-proxies, sorted. */
  get proxies(): string[] {
    return processesOf(this.host)
      .filter(({ words }) => words.includes("-container-ip"))
      .map(({ executable }) => executable)
      .sort();
  }

  /** Waits until so many docker-proxies are all one program. */
  async proxiesAre(count: number, what: string): Promise<void> {
    await until(() => this.proxies.length === count && this.proxies.every((each) => each.endsWith(`/${what}`)), {
      what: `${count} docker-proxies are ${what}`,
      timeoutMs: 30_000,
    });
  }

  /** The process ids of pontoon-proxies, without their bulk workers, whichever daemon started them. */
  get pontoonProxies(): number[] {
    return processesOf(this.host)
      .filter(({ words }) => words[0] === "pontoon-proxy" && !words.includes("--worker"))
      .map(({ pid }) => pid);
  }

  /** Kills the pontoon-proxy that runs. */
  async killProxy(): Promise<void> {
    await this.host.signal("SIGKILL", ...this.pontoonProxies);
  }
}

export const shim = "pontoon-docker-proxy";
export const dockers = "docker-proxy";

/** What `pontoon port --json` tells of a container, or of all. */
export async function rowsOf(pontoon: Pontoon, container?: string): Promise<PortRow[]> {
  const { stdout, stderr, exitCode } = await pontoon.cli(
    "port",
    ...(container === undefined ? [] : [container]),
    "--json",
  );
  if (exitCode !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as PortRow[];
}

/** Waits until pontoon-proxy serves so many ports of dockerd's, and no shim is served by anybody else. */
export async function serves(pontoon: Pontoon, count: number): Promise<PortRow[]> {
  let rows: PortRow[] = [];
  const isSo = async () => {
    rows = (await rowsOf(pontoon)).filter(({ source }) => source === "docker");
    return rows.length === count && rows.every(({ by }) => by === "pontoon");
  };
  await until(isSo, { what: `${count} ports are served by pontoon-proxy`, timeoutMs: 30_000, everyMs: 50 }).catch(
    (error: unknown) => {
      throw new Error(`${(error as Error).message}: ${JSON.stringify(rows)}`, { cause: error });
    },
  );
  return rows;
}

interface Process {
  readonly pid: number;
  readonly words: readonly string[];
  readonly executable: string;
}

function processesOf(host: DockerHost): Process[] {
  const pids = readdirSync(host.path("/proc")).filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => {
    try {
      const words = readFileSync(host.path(`/proc/${pid}/cmdline`), "utf8").split("\0");
      return [{ pid: Number(pid), words, executable: readlinkSync(host.path(`/proc/${pid}/exe`)) }];
    } catch {
      return []; // it has just ended, or is the kernel's
    }
  });
}
