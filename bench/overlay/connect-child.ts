// Connects and disconnects one endpoint on the host it runs on, with one of those that are compared, and takes the time.
import { Engine } from "../../integration/lab/engine.js";
import { answerRequests } from "../../integration/lab/helper-child.js";
import { controlClient } from "../network/pontoon.js";
import { now } from "./clock.js";
import { comes, network } from "./names.js";

export interface ConnectRequest {
  readonly backend: keyof typeof backends;
  readonly do: "connect" | "disconnect";
}

/** On {@link now}'s clock. */
export interface ConnectReply {
  readonly begun: number;
  readonly answered: number;
}

const engine = new Engine("/run/docker.sock");
const client = controlClient();

/** Each at the socket that its command would ask, since a command of its own takes longer than what it asks for. */
const backends = {
  docker: {
    connect: () => engine.post(`/networks/${network}/connect`, { Container: comes }),
    disconnect: () => engine.post(`/networks/${network}/disconnect`, { Container: comes }),
  },
  pontoon: {
    connect: () => client.post("/v1/networks/connect", { network, sandbox: comes }),
    disconnect: () => client.post("/v1/networks/disconnect", { network, sandbox: comes }),
  },
} as const;

answerRequests(async (request: ConnectRequest): Promise<ConnectReply> => {
  const begun = now();
  await backends[request.backend][request.do]();
  return { begun, answered: now() };
});
