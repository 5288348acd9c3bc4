// What is published: answers HTTP and DNS with as little work as can be, so that what is measured is the proxy.
import { spawn } from "node:child_process";
import { answerRequests } from "../../integration/lab/helper-child.js";
import { EPOLLIN } from "../../linux/constants.js";
import { MessageBatch } from "../../linux/mmsg.js";
import { raiseDescriptorLimit } from "../../linux/privileges.js";
import type { Ready } from "../../linux/poller.js";
import { Reactor } from "../../linux/reactor.js";
import { bindSocket, closeDescriptor, listenSocket, setNoDelay, tcpSocket, udpSocket } from "../../linux/socket.js";
import { acceptStream, AGAIN, receiveShared, sendShared, shared } from "../../linux/stream.js";

export interface TargetPorts {
  /** HTTP; connections stay open. */
  readonly requests: number;
  /** HTTP; closes each connection after its answer. */
  readonly connections: number;
  /** iperf3. */
  readonly bulk: number;
  readonly dns: number;
}

const reactor = new Reactor();
const body = "Hello, world\n";
const answers = {
  keepAlive: place(32 * 1024, `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`),
  close: place(33 * 1024, `HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`),
};

interface Answer {
  readonly at: number;
  readonly length: number;
  readonly closes: boolean;
}

/** Keeps an answer in the buffer everything is received into, beyond where any request reaches. */
function place(at: number, text: string): Answer {
  return { at, length: shared.write(text, at, "latin1"), closes: text.includes("close") };
}

class Visitor implements Ready {
  readonly #token: number;

  constructor(
    private readonly fd: number,
    private readonly answer: Answer,
  ) {
    this.#token = reactor.poller.add(fd, EPOLLIN, this);
  }

  /** A request of these clients comes in one piece. */
  onReady(): void {
    const received = receiveShared(this.fd);
    if (received === AGAIN) return;
    if (received > 0) sendShared(this.fd, this.answer.at, this.answer.length);
    if (received <= 0 || this.answer.closes) this.#close();
  }

  #close(): void {
    reactor.poller.release(this.#token);
    closeDescriptor(this.fd);
  }
}

function serveHttp(port: number, answer: Answer): void {
  const fd = tcpSocket();
  bindSocket(fd, { ip: "0.0.0.0", port });
  setNoDelay(fd);
  listenSocket(fd, 4096);
  reactor.poller.watch(fd, EPOLLIN, () => {
    for (let accepted = acceptStream(fd); accepted >= 0; accepted = acceptStream(fd)) new Visitor(accepted, answer);
  });
}

/** Turns each query into an answer without records. */
function serveDns(port: number): void {
  const batch = new MessageBatch(64, 1500);
  const fd = udpSocket();
  bindSocket(fd, { ip: "0.0.0.0", port });
  reactor.poller.watch(fd, EPOLLIN, () => {
    const received = batch.receive(fd);
    for (let slot = 0; slot < received; slot++) {
      batch.bytes[slot * batch.slotSize + 2]! |= 0x80; // it is an answer
      batch.setLength(slot, batch.length(slot));
    }
    batch.send(fd, received);
  });
}

answerRequests((ports: TargetPorts) => {
  raiseDescriptorLimit();
  serveHttp(ports.requests, answers.keepAlive);
  serveHttp(ports.connections, answers.close);
  serveDns(ports.dns);
  reactor.start();
  spawn("iperf3", ["--server", "--port", String(ports.bulk)], { stdio: ["ignore", "ignore", "inherit"] }).on(
    "error",
    (error) => process.stderr.write(`bench: ${error.message}\n`),
  );
  return Promise.resolve({});
});
