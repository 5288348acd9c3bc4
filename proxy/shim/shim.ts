import { join } from "node:path";
import { errorCode } from "../../common/errors.js";
import { EPOLLIN, SHUT_RDWR } from "../../linux/constants.js";
import { LinuxError } from "../../linux/ffi.js";
import { namespaceInode, ownNamespacePath } from "../../linux/netns.js";
import { NodePoller } from "../../linux/node-poller.js";
import { receivePacket, sendPacket, type Packet } from "../../linux/packet-connection.js";
import type { Watch } from "../../linux/poller.js";
import { closeDescriptor, connectUnix, localAddress, packetSocket } from "../../linux/socket.js";
import { shutdownSocket } from "../../linux/stream.js";
import type { SocketAddress } from "../../common/address.js";
import type { Protocol } from "../publication/publication.js";
import { shimMessage } from "../shims/shim-protocol.js";
import { becomeDockerProxy } from "./exec-docker-proxy.js";
import { adoptListener, bindListener } from "./listener.js";
import { fail, replaceVerdictDescriptor, tellStarted } from "./verdict.js";

const runDir = process.env["PONTOON_RUN_DIR"] || "/run/pontoon";
const handOverTime = 2000; // ms
const whoTime = 1000; // ms
const farewellTime = 2000; // ms
const retryAtMost = 500; // ms

type State = "apart" | "asking" | "handing" | "served";

/** Has a port served by pontoon-proxy for as long as this process lives, or becomes Docker's own docker-proxy. */
export class Shim {
  readonly #loop = new NodePoller();
  readonly #parent = process.ppid;
  readonly #socketPath = join(runDir, "proxy.sock");
  readonly #returnTime = timeFrom("PONTOON_RETURN_MS", 10_000);
  /** From then on Docker's own docker-proxy serves; never again once that was tried in vain. */
  #giveUpAt = performance.now() + timeFrom("PONTOON_PATIENCE_MS", 200);
  #state: State = "apart";
  #connection: { readonly fd: number; readonly watch: Watch } | undefined;
  #listener: number | undefined;
  #started = false;
  #retry = 50;
  #timer: NodeJS.Timeout | undefined;
  #ending = false;

  constructor(
    private readonly protocol: Protocol,
    private readonly host: SocketAddress,
    private readonly container: SocketAddress,
    private readonly inherited: boolean,
  ) {}

  start(): void {
    if (this.inherited) this.#listener = adoptListener(this.protocol, this.host.ip);
    this.#loop.start();
    process.on("SIGINT", () => this.#end(false));
    // Docker before 23 lets the thread that started us end while dockerd lives on, and the kernel then sends SIGTERM.
    // Node does not tell who sent a signal, so any SIGTERM of a living parent's time is taken for that.
    process.on("SIGTERM", () => {
      if (process.ppid !== this.#parent) this.#end(true);
    });
    this.#connect();
  }

  get #isLate(): boolean {
    return performance.now() >= this.#giveUpAt;
  }

  #connect(): void {
    // One that hangs has a copy of a UDP port of ours, which is then not to be had for anybody else.
    const takesAll = this.protocol === "tcp" || this.inherited;
    if (this.#started && takesAll && this.#isLate) return this.#fallBack(undefined);
    const fd = packetSocket();
    try {
      connectUnix(fd, this.#socketPath);
    } catch (error) {
      closeDescriptor(fd);
      // Too slow to accept all, or dead and about to return; a socket file alone may be all that is left of pontoon.
      const mayReturn = errorCode(error) === "EAGAIN" || (errorCode(error) === "ECONNREFUSED" && daemonRuns());
      if (this.#isLate || (!this.#started && !mayReturn)) return this.#fallBack(undefined);
      this.#after(this.#started ? this.#retry : 10, () => this.#connect());
      if (this.#started) this.#retry = Math.min(this.#retry * 2, retryAtMost);
      return;
    }
    this.#connection = { fd, watch: this.#loop.poller.watch(fd, EPOLLIN, () => this.#onReady(fd)) };
    if (this.#listener === undefined) this.#ask();
    else this.#handOver(this.#listener);
  }

  #ask(): void {
    this.#state = "asking";
    this.#after(Math.max(0, this.#giveUpAt - performance.now()), () => this.#fallBack(undefined));
    this.#send(this.#request("ask", this.host.port));
  }

  #handOver(listener: number): void {
    this.#state = "handing";
    this.#after(handOverTime, () => this.#onHandOverLate());
    this.#send(this.#request("serve", localAddress(listener).port), [listener]);
  }

  #onHandOverLate(): void {
    // A UDP port cannot be taken back from a server that hangs with a copy of it; it is served when that wakes up.
    const cannotBeHad = this.protocol === "udp" && !this.inherited;
    if (!this.#started && !cannotBeHad) return this.#fallBack(undefined);
    if (!this.#started) this.#succeed();
    this.#lose();
  }

  /** What pontoon-proxy knows of who has the port, if it answers soon. */
  #owner(): string {
    const connection = this.#connection;
    if (!connection) return "";
    this.#send(this.#request("who", this.host.port));
    const pause = new Int32Array(new SharedArrayBuffer(4));
    for (const giveUpAt = performance.now() + whoTime; performance.now() < giveUpAt; Atomics.wait(pause, 0, 0, 2)) {
      const packet = this.#connection && receivePacket(connection.fd);
      if (packet === undefined) continue;
      const answer = packet === "closed" ? "" : packet.bytes.toString("latin1");
      return answer.startsWith("held ") ? `: ${answer.slice(5)}` : "";
    }
    return "";
  }

  /** @param port of the host: of a listener, the one it is bound to */
  #request(kind: "ask" | "who" | "serve", port: number): string {
    const { protocol, container, inherited } = this;
    const namespace = namespaceInode(ownNamespacePath);
    return shimMessage(kind, { protocol, host: { ip: this.host.ip, port }, container, namespace, inherited });
  }

  #send(text: string, descriptors: readonly number[] = []): void {
    try {
      if (this.#connection && sendPacket(this.#connection.fd, Buffer.from(text), descriptors)) return;
    } catch (error) {
      if (!(error instanceof LinuxError)) throw error;
    }
    this.#lose();
  }

  #onReady(fd: number): void {
    let packet: Packet | "closed" | undefined;
    try {
      packet = receivePacket(fd);
    } catch (error) {
      if (errorCode(error) === "ECONNRESET") return this.#onReady(fd); // what was said before is still there
      packet = "closed";
    }
    if (packet === undefined) return;
    if (packet === "closed") return this.#ending ? process.exit(0) : this.#lose();
    this.#onAnswer(packet.bytes.toString("latin1"), packet.descriptors);
  }

  #onAnswer(answer: string, descriptors: number[]): void {
    if (answer === "gone") process.exit(0);
    if (this.#ending) return;
    if (answer === "kept" && this.#state === "asking" && descriptors.length === 1) {
      this.#listener = descriptors[0]!;
      return this.#succeed();
    }
    descriptors.forEach(closeDescriptor);
    if (answer.startsWith("no ")) return this.#fallBack(answer.slice(3));
    if (answer === "ok" && this.#state === "handing") return this.#succeed();
    if (answer !== "ready" || this.#state !== "asking")
      return this.#started ? this.#lose() : this.#fallBack("it gives an answer that makes no sense");
    this.#listener = this.#bind();
    this.#giveUpAt = performance.now() + handOverTime;
    this.#handOver(this.#listener);
  }

  #bind(): number {
    return bindListener(this.protocol, this.host, () => this.#owner());
  }

  #succeed(): void {
    this.#state = "served";
    this.#retry = 50;
    clearTimeout(this.#timer);
    if (this.#started) return;
    this.#started = true;
    tellStarted();
  }

  #lose(): void {
    this.#disconnect();
    this.#after(this.#started ? this.#retry : 10, () =>
      !this.#started && this.#isLate ? this.#fallBack(undefined) : this.#connect(),
    );
  }

  #disconnect(): void {
    if (this.#state === "served") this.#giveUpAt = performance.now() + this.#returnTime;
    this.#state = "apart";
    this.#connection?.watch.close();
    if (this.#connection) closeDescriptor(this.#connection.fd);
    this.#connection = undefined;
  }

  #after(ms: number, work: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(work, ms);
  }

  #fallBack(reason: string | undefined): void {
    this.#disconnect();
    if (!this.inherited) this.#giveUpListener();
    if (this.#started) replaceVerdictDescriptor();
    becomeDockerProxy(this.inherited);
    if (this.#started) return this.#waitOn();
    const said = reason === undefined ? `does not answer at ${this.#socketPath}` : `declines: ${reason}`;
    fail(`pontoon-proxy ${said}, and Docker's own docker-proxy was not found; start pontoon, or install docker-proxy`);
  }

  #giveUpListener(): void {
    const listener = this.#listener;
    this.#listener = undefined;
    if (listener === undefined) return;
    if (this.protocol === "tcp") shutdownSocket(listener, SHUT_RDWR); // a copy still on its way must not hold the port
    closeDescriptor(listener);
  }

  /** Nobody is to be told: the port is kept for a pontoon-proxy that comes, or changes its mind. */
  #waitOn(): void {
    this.#listener ??= this.#bind();
    this.#giveUpAt = Infinity;
    this.#retry = retryAtMost;
    this.#after(retryAtMost, () => this.#connect());
  }

  #end(keep: boolean): void {
    if (this.#ending) return;
    const handed = this.#state === "served" || this.#state === "handing";
    if (!handed || !this.#connection) process.exit(0);
    this.#ending = true;
    const leaves = keep && !this.inherited;
    try {
      sendPacket(
        this.#connection.fd,
        Buffer.from(keep ? "bye keep" : "bye"),
        leaves && this.#listener !== undefined ? [this.#listener] : [],
      );
    } catch {
      process.exit(0); // it has ended first
    }
    if (leaves) process.exit(0);
    // dockerd may bind the port again the moment we end: the other copy has to be closed by then.
    this.#after(farewellTime, () => {
      this.#giveUpListener();
      process.exit(0);
    });
  }
}

/** Whether there is a daemon, which starts a pontoon-proxy that has died again. Its socket is of another type, which is how the kernel tells. */
function daemonRuns(): boolean {
  const fd = packetSocket();
  try {
    connectUnix(fd, join(runDir, "control.sock"));
    return true;
  } catch (error) {
    return errorCode(error) === "EPROTOTYPE";
  } finally {
    closeDescriptor(fd);
  }
}

/** Milliseconds from dockerd's environment. */
function timeFrom(name: string, otherwise: number): number {
  const time = Number(process.env[name]);
  return time > 0 ? time : otherwise;
}
