// Clients that hold connections: each asks once and then is silent.
import { answerRequests } from "../../integration/lab/helper-child.js";
import { until } from "../../integration/lab/until.js";
import { EPOLLIN } from "../../linux/constants.js";
import { NodePoller } from "../../linux/node-poller.js";
import type { Ready } from "../../linux/poller.js";
import { raiseDescriptorLimit } from "../../linux/privileges.js";
import { closeDescriptor, connectSocket, receiveBytes, sendBytes, tcpSocket } from "../../linux/socket.js";

export interface ClientsRequest {
  /** How many connections there are to be from now on. */
  readonly connections: number;
  readonly to: { readonly ip: string; readonly port: number };
}

/** Connections that are made at a time. */
const atOnce = 100;
const request = Buffer.from("GET / HTTP/1.1\r\nHost: target\r\n\r\n");
const answer = Buffer.alloc(4096);

const loop = new NodePoller();
const clients: Client[] = [];

class Client implements Ready {
  readonly #fd = tcpSocket();
  readonly #token: number;
  answered = false;
  failure: string | undefined;

  constructor(to: ClientsRequest["to"]) {
    connectSocket(this.#fd, to);
    this.#token = loop.poller.add(this.#fd, EPOLLIN, this);
  }

  /** @returns false while it is not connected */
  ask(): boolean {
    try {
      return sendBytes(this.#fd, request) > 0;
    } catch (error) {
      this.failure = (error as Error).message;
      return true;
    }
  }

  onReady(): void {
    try {
      if (receiveBytes(this.#fd, answer) > 0) this.answered = true;
      else this.failure ??= "closed without an answer";
    } catch (error) {
      this.failure ??= (error as Error).message;
    }
    if (this.failure !== undefined) this.close();
  }

  close(): void {
    loop.poller.release(this.#token);
    closeDescriptor(this.#fd);
  }
}

raiseDescriptorLimit();
loop.start();
answerRequests(async ({ connections, to }: ClientsRequest): Promise<object> => {
  while (clients.length > connections) clients.pop()!.close();
  while (clients.length < connections) {
    const more = Array.from({ length: Math.min(atOnce, connections - clients.length) }, () => new Client(to));
    for (const client of more) await until(() => client.ask(), { everyMs: 1, what: "a connection is made" });
    await until(() => more.every(({ answered, failure }) => answered || failure !== undefined), {
      timeoutMs: 20_000,
      what: "all are answered",
    });
    const failed = more.find(({ failure }) => failure !== undefined);
    if (failed) throw new Error(`connection ${clients.length}: ${failed.failure}`);
    clients.push(...more);
  }
  return {};
});
