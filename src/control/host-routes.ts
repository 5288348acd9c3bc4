import type { FastifyInstance } from "fastify";
import { z } from "zod";
import type { HostAnswer } from "../cluster/contract.js";

/** What the control API asks of the cluster. */
export interface HostSources {
  hosts(): HostAnswer[];
  forget(nameOrId: string): Promise<{ readonly host: string; readonly endpoints: number }>;
}

const hostBody = z.strictObject({ host: z.string().min(1).max(255) });

/** `/v1/hosts…`. */
export function addHostRoutes(server: FastifyInstance, sources: HostSources): void {
  server.get("/v1/hosts", () => sources.hosts());
  server.post("/v1/hosts/forget", (request) => sources.forget(hostBody.parse(request.body).host));
}
