import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { SocketAddress } from "../../common/address.js";
import { NodePoller } from "../../linux/node-poller.js";
import { PacketChannel } from "../../linux/packet-channel.js";
import {
  bindUnix,
  closeDescriptor,
  connectUnix,
  listenSocket,
  localAddress,
  packetSocket,
} from "../../linux/socket.js";
import type { FirstToServer, HeldAll, Hello } from "../../common/handshake.js";
import { PROTOCOL, type HeldPublication, type Report, type ToDaemon, type ToProxy } from "../protocol.js";
import type { Protocol, PublicationOptions } from "../publication/publication.js";
import { listener, until, type TestLike } from "./proxy.js";

const program = fileURLToPath(new URL("../main.js", import.meta.url));
/** As pontoon-proxy has it on a host. */
export const TEST_USER = 28783;

type Said = Hello | HeldPublication | HeldAll | ToDaemon;
type ToSay = FirstToServer | ToProxy;
type Message<Kind> = Extract<Said, { kind: Kind }>;

/** A daemon's connection to a pontoon-proxy. */
export class TestDaemon {
  readonly heard: { message: Said; descriptors: number[] }[] = [];
  closed = false;
  readonly #channel: PacketChannel<Said, ToSay>;
  #requests = 0;

  constructor(t: TestLike, poller: NodePoller, path: string) {
    const fd = packetSocket();
    connectUnix(fd, path);
    this.#channel = new PacketChannel<Said, ToSay>(poller.poller, fd, {
      onMessage: (message, descriptors) => this.heard.push({ message, descriptors }),
      onClose: () => (this.closed = true),
    });
    t.teardown(() => {
      this.close();
      for (const { descriptors } of this.heard) descriptors.forEach(closeDescriptor);
    });
  }

  send(message: ToSay, descriptors: readonly number[] = []): void {
    this.#channel.send(message, descriptors);
  }

  close(): void {
    this.#channel.close();
  }

  async hear<Kind extends Said["kind"]>(
    kind: Kind,
    matches: (message: Message<Kind>) => boolean = () => true,
  ): Promise<Message<Kind>> {
    let found: Message<Kind> | undefined;
    await until(`the daemon hears ${kind}`, () => {
      found = this.heard
        .map(({ message }) => message)
        .find((message): message is Message<Kind> => message.kind === kind && matches(message as Message<Kind>));
      return found !== undefined;
    });
    return found!;
  }

  async hello(): Promise<void> {
    this.send({ kind: "hello", protocol: PROTOCOL, version: "test" });
    await this.hear("held-all");
  }

  /** Publishes a target on a free port. @returns where */
  async open(
    target: SocketAddress,
    options: PublicationOptions = {},
    {
      id = "web",
      protocol = "tcp",
      ip = "127.0.0.1",
      port = 0,
    }: { id?: string; protocol?: Protocol; ip?: string; port?: number } = {},
  ): Promise<SocketAddress> {
    const fd = listener(protocol, { ip, port });
    const listen = localAddress(fd);
    this.send({ kind: "open", publication: { id, protocol, listen, target, options } }, [fd]);
    closeDescriptor(fd);
    await this.hear("opened", (message) => message.id === id);
    return listen;
  }

  async report(): Promise<Report> {
    const request = ++this.#requests;
    this.send({ kind: "report", request });
    return (await this.hear("reported", (message) => message.request === request)).report;
  }

  /** Asks again until a report shows something. */
  async reportThat(what: string, holds: (report: Report) => boolean): Promise<Report> {
    for (let tries = 0; tries < 2000; tries++) {
      const report = await this.report();
      if (holds(report)) return report;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(`no report shows it: ${what}`);
  }
}

/** Does what a daemon does to itself before it starts a server, and becomes it; a test goes on starting programs with capabilities. */
const starter = `
  const { confineWhatIsStarted } = await import(${JSON.stringify(new URL("../../linux/privileges.js", import.meta.url).href)});
  const { executeProgram } = await import(${JSON.stringify(new URL("../../linux/exec.js", import.meta.url).href)});
  confineWhatIsStarted();
  executeProgram(process.execPath, process.argv.slice(1), [3, 4]);`;

/** A pontoon-proxy as the daemon starts it, with its workers. */
export class ProxyProcess {
  readonly poller = new NodePoller();
  readonly path: string;
  /** Where shims connect. */
  readonly shimsPath: string;
  readonly child: ChildProcess;
  stderr = "";
  exitCode: number | null | undefined;

  /** @param folder where its sockets go, removed in the end. Default a new one */
  constructor(
    private readonly t: TestLike,
    folder = mkdtempSync(join(tmpdir(), "pontoon-")),
  ) {
    this.path = join(folder, "proxy-control.sock");
    this.shimsPath = join(folder, "proxy.sock");
    const listeners = [this.path, this.shimsPath].map((path) => {
      const fd = packetSocket();
      rmSync(path, { force: true });
      bindUnix(fd, path);
      listenSocket(fd, 1024);
      return fd;
    });
    this.child = spawn(
      process.execPath,
      ["--input-type=module", "--eval", starter, program, "--user", String(TEST_USER), "--version", "test"],
      { stdio: ["ignore", "ignore", "pipe", ...listeners], cwd: "/" },
    );
    listeners.forEach(closeDescriptor);
    this.child.stderr!.on("data", (bytes) => (this.stderr += String(bytes)));
    this.child.on("exit", (code) => (this.exitCode = code));
    this.poller.start();
    t.teardown(async () => {
      const workers = this.exitCode === undefined ? this.workers() : [];
      if (this.exitCode === undefined) {
        this.child.kill("SIGKILL");
        await once(this.child, "exit");
      }
      for (const pid of workers) killIfThere(pid);
      this.poller.stop();
      rmSync(folder, { recursive: true, force: true });
    });
  }

  async daemon(): Promise<TestDaemon> {
    const daemon = new TestDaemon(this.t, this.poller, this.path);
    await daemon.hello();
    return daemon;
  }

  /** Process ids of its bulk workers that run. */
  workers(): number[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => parentOf(pid) === this.child.pid);
  }
}

function parentOf(pid: number): number | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return /^State:\s+Z/m.test(status) ? undefined : Number(/^PPid:\s+(\d+)$/m.exec(status)?.[1]);
  } catch {
    return undefined; // it has ended
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended by itself
  }
}
