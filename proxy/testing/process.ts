import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
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
  packetPair,
  packetSocket,
} from "../../linux/socket.js";
import type { FirstToServer, HeldAll, Hello } from "../../common/handshake.js";
import { PROTOCOL, type HeldPublication, type Report, type ToDaemon, type ToProxy } from "../protocol.js";
import type { Protocol, PublicationOptions } from "../publication/publication.js";
import { listener, until, type TestLike } from "./proxy.js";
import { workerArguments } from "../bulk/spawn-workers.js";

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

  /** @param startWorker what is done when a bulk worker is wanted  @returns the channel to it */
  constructor(t: TestLike, poller: NodePoller, path: string, startWorker: () => number | undefined) {
    const fd = packetSocket();
    connectUnix(fd, path);
    this.#channel = new PacketChannel<Said, ToSay>(poller.poller, fd, {
      onMessage: (message, descriptors) => {
        this.heard.push({ message, descriptors });
        const worker = message.kind === "want-worker" ? startWorker() : undefined;
        if (worker === undefined) return;
        this.send({ kind: "worker" }, [worker]);
        closeDescriptor(worker);
      },
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
  const { existsSync } = await import("node:fs");
  const { confineWhatIsStarted } = await import(${JSON.stringify(new URL("../../linux/privileges.js", import.meta.url).href)});
  const { executeProgram } = await import(${JSON.stringify(new URL("../../linux/exec.js", import.meta.url).href)});
  confineWhatIsStarted();
  executeProgram(process.execPath, process.argv.slice(1), [3, 4].filter((fd) => existsSync("/proc/self/fd/" + fd)));`;

/** A pontoon-proxy as the daemon starts it; its test daemons start the workers it wants. */
export class ProxyProcess {
  readonly poller = new NodePoller();
  readonly path: string;
  /** Where shims connect. */
  readonly shimsPath: string;
  readonly child: ChildProcess;
  /** Whether a worker that is wanted is started. */
  startsWorkers = true;
  readonly #workers: ChildProcess[] = [];
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
      if (this.exitCode === undefined) {
        this.child.kill("SIGKILL");
        await once(this.child, "exit");
      }
      for (const worker of this.#workers) worker.kill("SIGKILL");
      this.poller.stop();
      rmSync(folder, { recursive: true, force: true });
    });
  }

  /** A daemon that gives it a bulk worker before one is wanted, as one that leaves does. */
  async daemonWithWorker(): Promise<TestDaemon> {
    const daemon = await this.daemon();
    const worker = this.#startWorker();
    daemon.send({ kind: "worker" }, [worker]);
    closeDescriptor(worker);
    await daemon.reportThat("a worker is ready", ({ workers }) => workers === 1);
    return daemon;
  }

  async daemon(): Promise<TestDaemon> {
    const daemon = new TestDaemon(this.t, this.poller, this.path, () =>
      this.startsWorkers ? this.#startWorker() : undefined,
    );
    await daemon.hello();
    return daemon;
  }

  /** Process ids of its bulk workers that run. */
  workers(): number[] {
    return this.#workers.flatMap(({ pid, exitCode, signalCode }) =>
      pid === undefined || exitCode !== null || signalCode !== null ? [] : [pid],
    );
  }

  #startWorker(): number {
    const [ours, theirs] = packetPair();
    const worker = spawn(process.execPath, ["--input-type=module", "--eval", starter, ...workerArguments(TEST_USER)], {
      stdio: ["ignore", "ignore", "inherit", theirs],
      cwd: "/",
    });
    closeDescriptor(theirs);
    this.#workers.push(worker);
    return ours;
  }
}
