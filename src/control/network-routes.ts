import type { FastifyInstance } from "fastify";
import { z } from "zod";
import {
  connectRequest,
  createNetworkRequest,
  createSandboxRequest,
  disconnectRequest,
  pairRequest,
  type ConnectRequest,
  type CreateNetworkRequest,
  type CreateSandboxRequest,
  type DisconnectRequest,
  type NetworkAnswer,
  type NetworkLinksAnswer,
  type PairRequest,
  type SandboxAnswer,
} from "../networks/contract.js";

/** What the control API asks of the network backend. */
export interface NetworkSources {
  networks(): NetworkAnswer[];
  network(nameOrId: string): NetworkAnswer;
  links(nameOrId: string | undefined): NetworkLinksAnswer[];
  createNetwork(request: CreateNetworkRequest): Promise<NetworkAnswer>;
  removeNetwork(nameOrId: string): Promise<NetworkAnswer>;
  pruneNetworks(): Promise<NetworkAnswer[]>;
  connect(request: ConnectRequest): Promise<SandboxAnswer>;
  disconnect(request: DisconnectRequest): Promise<SandboxAnswer>;
  sandboxes(): SandboxAnswer[];
  sandbox(nameOrId: string): SandboxAnswer;
  /** `NAME=VALUE` of what a program in it is told. */
  sandboxEnvironment(nameOrId: string): string[];
  createSandbox(request: CreateSandboxRequest): Promise<SandboxAnswer>;
  pairSandboxes(request: PairRequest): Promise<NetworkAnswer>;
  removeSandbox(nameOrId: string): Promise<SandboxAnswer>;
}

const nameBody = z.strictObject({ name: z.string().min(1).max(64) });
const nameQuery = z.strictObject({ name: z.string().min(1).max(64).optional() });

/** `/v1/networks…` and `/v1/sandboxes…`. */
export function addNetworkRoutes(server: FastifyInstance, sources: NetworkSources): void {
  server.get("/v1/networks", (request) => {
    const { name } = nameQuery.parse(request.query);
    return name === undefined ? sources.networks() : [sources.network(name)];
  });
  server.get("/v1/networks/links", (request) => sources.links(nameQuery.parse(request.query).name));
  server.post("/v1/networks", (request) => sources.createNetwork(createNetworkRequest.parse(request.body)));
  server.post("/v1/networks/remove", (request) => sources.removeNetwork(nameBody.parse(request.body).name));
  server.post("/v1/networks/prune", () => sources.pruneNetworks());
  server.post("/v1/networks/connect", (request) => sources.connect(connectRequest.parse(request.body)));
  server.post("/v1/networks/disconnect", (request) => sources.disconnect(disconnectRequest.parse(request.body)));
  server.get("/v1/sandboxes", (request) => {
    const { name } = nameQuery.parse(request.query);
    return name === undefined ? sources.sandboxes() : [sources.sandbox(name)];
  });
  server.get("/v1/sandboxes/env", (request) => sources.sandboxEnvironment(nameBody.parse(request.query).name));
  server.post("/v1/sandboxes", (request) => sources.createSandbox(createSandboxRequest.parse(request.body)));
  server.post("/v1/sandboxes/pair", (request) => sources.pairSandboxes(pairRequest.parse(request.body)));
  server.post("/v1/sandboxes/remove", (request) => sources.removeSandbox(nameBody.parse(request.body).name));
}
