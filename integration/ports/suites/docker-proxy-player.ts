import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { createServer, connect, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { receivePacket, type Packet } from "../../../linux/packet-connection.js";
import {
  acceptSocket,
  bindUnix,
  closeDescriptor,
  connectUnix,
  listenSocket,
  packetSocket,
} from "../../../linux/socket.js";
import type { Settings, ToDaemon } from "../../../proxy/protocol.js";
import { ProxyProcess, type TestDaemon } from "../../../proxy/testing/process.js";
import { hostEnvironment } from "../../lab/command.js";
import { repositoryRoot } from "../../lab/root.js";
import { until } from "../../lab/until.js";

export interface Owner {
  teardown(work: () => unknown): unknown;
}

/** The program under test. */
export const program = join(repositoryRoot, "bin", "pontoon-docker-proxy");

/** A folder that goes with the test. */
export function folderOf(t: Owner): string {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-proxy-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** An address of the loopback network that no other test on the machine uses, unless process ids coincide. */
export const loopback = `127.${((process.pid >> 14) & 63) | 64}.${(process.pid >> 7) & 127}.${(process.pid & 127) + 1}`;

/**
 * Both ends of a socket that keeps what was written in one go apart from what was not: dockerd reads descriptor 3 once.
 */
export function verdictPipe(folder: string): { read: number; write: number } {
  const listener = packetSocket();
  const path = join(folder, "verdict.sock");
  rmSync(path, { force: true });
  bindUnix(listener, path);
  listenSocket(listener, 1);
  const write = packetSocket();
  connectUnix(write, path);
  const read = acceptSocket(listener);
  closeDescriptor(listener);
  return { read, write };
}

export interface StartOptions {
  readonly args: readonly string[];
  /** The run directory. */
  readonly folder: string;
  /** Descriptor 4, and more. */
  readonly descriptors?: readonly number[];
  readonly env?: Record<string, string>;
  /** The command line of another docker-proxy than the shim. */
  readonly command?: readonly string[];
  /** What goes before the program on the command line. */
  readonly wrapper?: readonly string[];
  /** How long it waits for pontoon-proxy; long, since the machine may be busy. */
  readonly patienceMs?: number;
  /** How long it waits for a pontoon-proxy that has gone. */
  readonly returnMs?: number;
}

/** A docker-proxy as dockerd starts and sees it. */
export class Proxy {
  readonly #child: ChildProcess;
  readonly #verdict: number;
  stderr = "";

  constructor(
    t: Owner,
    {
      args,
      folder,
      descriptors = [],
      env = {},
      command = [program],
      wrapper = [],
      patienceMs = 20_000,
      returnMs = 60_000,
    }: StartOptions,
  ) {
    const { read, write } = verdictPipe(folder);
    this.#verdict = read;
    const argv = [...wrapper, ...command, ...args];
    // Not by execa: it is handed descriptors as dockerd hands them, and nothing else of it is waited for here.
    this.#child = spawn(argv[0]!, argv.slice(1), {
      env: {
        ...hostEnvironment,
        PONTOON_RUN_DIR: folder,
        PONTOON_PATIENCE_MS: String(patienceMs),
        PONTOON_RETURN_MS: String(returnMs),
        ...env,
      },
      stdio: ["ignore", "ignore", "pipe", write, ...descriptors],
    });
    closeDescriptor(write);
    this.#child.stderr!.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
    t.teardown(async () => {
      await this.kill("SIGKILL");
      closeDescriptor(read);
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  /** The program it is by now. */
  get executable(): string {
    return readlinkSync(`/proc/${this.pid}/exe`);
  }

  /** Waits until it is another program. */
  async executableIs(pattern: RegExp): Promise<void> {
    await until(() => pattern.test(this.executable), { what: `it is ${String(pattern)}`, timeoutMs: 20_000 });
  }

  /** What dockerd reads: the first write, which must be `0\n` and nothing else, or all there is after `1\n`. */
  async verdict(): Promise<string> {
    return (await this.writes())[0] ?? "";
  }

  /** Each write to descriptor 3, until that is closed. */
  async writes(): Promise<string[]> {
    const writes: string[] = [];
    const next = () => {
      const packet: Packet | "closed" | undefined = receivePacket(this.#verdict);
      if (packet !== undefined && packet !== "closed") writes.push(packet.bytes.toString());
      return packet === "closed";
    };
    await until(next, { what: "descriptor 3 is closed", timeoutMs: 30_000, everyMs: 2 });
    return writes;
  }

  /** Sends a signal as dockerd does, and waits for the end. */
  async kill(signal: NodeJS.Signals): Promise<number | null> {
    if (this.ended) return this.exitCode;
    const exit = once(this.#child, "exit");
    this.#child.kill(signal);
    await exit;
    return this.exitCode;
  }

  async end(): Promise<number | null> {
    if (!this.ended) await once(this.#child, "exit");
    return this.exitCode;
  }
}

/** The real pontoon-proxy, in the test's own network namespace. */
export class PontoonProxy {
  private constructor(
    private readonly server: ProxyProcess,
    private readonly daemon: TestDaemon,
  ) {}

  /** Starts it and waits until it accepts shims that look for it in a folder. It ends with the test. */
  static async start(t: Owner, folder: string): Promise<PontoonProxy> {
    const server = new ProxyProcess(t, folder);
    return new PontoonProxy(server, await server.daemon());
  }

  /** Waits until so many ports are served, and returns them, sorted: `tcp 0.0.0.0 80 172.17.0.2 80`. */
  async serves(count: number): Promise<string[]> {
    const { publications } = await this.daemon.reportThat(
      `${count} ports are served`,
      (report) => report.publications.length === count,
    );
    return publications
      .map(({ protocol, listen, target }) => `${protocol} ${listen.ip} ${listen.port} ${target?.ip} ${target?.port}`)
      .sort();
  }

  /** Connections, or flows, of everything that is served since it was handed over. */
  async accepted(): Promise<number> {
    return (await this.daemon.report()).publications.reduce((sum, { accepted }) => sum + accepted, 0);
  }

  /** Waits until a shim has been sent away. @returns why */
  async declined(): Promise<string> {
    const { reason }: Extract<ToDaemon, { kind: "declined" }> = await this.daemon.hear("declined");
    return reason;
  }

  /** What the daemon sets for all ports. */
  async set(settings: Settings): Promise<void> {
    this.daemon.send({ kind: "settings", settings });
    await this.daemon.report(); // after which it is in force
  }

  signal(signal: NodeJS.Signals): void {
    this.server.child.kill(signal);
  }

  /** Kills it, and waits for its end. */
  async kill(): Promise<void> {
    const exit = once(this.server.child, "exit");
    this.signal("SIGKILL");
    await exit;
  }
}

/** What dockerd before 28 passes. */
export function arguments20(
  protocol: string,
  host: [ip: string, port: number],
  container: [ip: string, port: number],
): string[] {
  return [
    "-proto",
    protocol,
    "-host-ip",
    host[0],
    "-host-port",
    String(host[1]),
    "-container-ip",
    container[0],
    "-container-port",
    String(container[1]),
  ];
}

/** A container's service: sends back what it gets, after `hello `. */
export async function echoServer(t: Owner, ip = loopback): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined);
    socket.write("hello ");
    socket.pipe(socket);
  });
  const port = await listenOn(server, ip);
  t.teardown(() => server.close());
  return port;
}

/** The same with datagrams. */
export async function echoDatagrams(t: Owner): Promise<number> {
  const container = createSocket("udp4").on("message", (bytes, from) =>
    container.send(`hello ${bytes.toString()}`, from.port, from.address),
  );
  container.bind(0, loopback);
  await once(container, "listening");
  t.teardown(() => container.close());
  return container.address().port;
}

/** Sends a datagram, again and again since it may be lost, and returns the first reply. */
export async function talkInDatagrams(t: Owner, ip: string, port: number, text: string): Promise<string> {
  const client = createSocket(ip.includes(":") ? "udp6" : "udp4").on("error", () => undefined);
  t.teardown(() => client.close());
  let reply: string | undefined;
  client.on("message", (bytes) => (reply = bytes.toString()));
  const ask = () => {
    client.send(text, port, ip);
    return reply !== undefined;
  };
  await until(ask, { what: "a datagram comes back", timeoutMs: 20_000 });
  return reply!;
}

export async function listenOn(server: Server, ip: string, port = 0): Promise<number> {
  server.listen(port, ip);
  await once(server, "listening");
  return (server.address() as { port: number }).port;
}

/** A port nobody uses at the moment. */
export async function freePort(ip = loopback): Promise<number> {
  const server = createServer();
  const port = await listenOn(server, ip);
  server.close();
  await once(server, "close");
  return port;
}

/** Connects, says something, ends, and returns all that came back. */
export async function talk(ip: string, port: number, text: string): Promise<string> {
  const socket = await connected(ip, port);
  socket.end(text);
  return readAll(socket);
}

export async function connected(ip: string, port: number): Promise<Socket> {
  const socket = connect({ host: ip, port, allowHalfOpen: true });
  await once(socket, "connect");
  return socket;
}

export async function readAll(socket: Socket): Promise<string> {
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return text;
}

/** A program named docker-proxy that says on descriptor 3 what it was started with. @param then what it does next */
export function fakeDockerProxy(folder: string, then = ""): string {
  const path = join(folder, "docker-proxy");
  const script =
    '#!/bin/sh\nprintf \'1\\nfake %s; descriptor 4 %s\' "$*" "$(test -e /proc/self/fd/4 && echo open || echo closed)" >&3\n';
  writeFileSync(path, `${script}${then}\n`, { mode: 0o755 });
  return folder;
}

/** Whether Docker's docker-proxy lies where PATH has no say. */
export function dockerProxyIsFixed(): boolean {
  const folders = [
    "/usr/local/libexec/docker",
    "/usr/libexec/docker",
    "/usr/local/lib/docker",
    "/usr/lib/docker",
    "/usr/local/libexec",
    "/usr/libexec",
  ];
  return folders.some((folder) => spawnSync("test", ["-e", join(folder, "docker-proxy")]).status === 0);
}

export function openFiles(pid: number): Map<number, string> {
  return new Map(readdirSync(`/proc/${pid}/fd`).map((fd) => [Number(fd), readlinkSync(`/proc/${pid}/fd/${fd}`)]));
}

/** Private memory of a process, kB. */
export function privateMemory(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return [...text.matchAll(/^Private_\w+:\s+(\d+) kB/gm)].reduce((sum, match) => sum + Number(match[1]), 0);
}
