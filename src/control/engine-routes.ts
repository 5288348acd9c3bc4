import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { EngineReply } from "../networks/cni/engine-calls.js";

/** What the program `pontoon-cni` asks of the network backend. */
export interface EngineSources {
  cni(values: unknown, input: string): Promise<EngineReply>;
  netavark(values: unknown, input: string): Promise<EngineReply>;
}

/** As src/networks/cni/program/daemon.h has it, bytes. */
const bodyLimit = 1 << 20;

/** `/v1/cni` and `/v1/netavark`: the environment in the query, standard input in the body, and what is to be printed in the answer. */
export function addEngineRoutes(server: FastifyInstance, sources: EngineSources): void {
  const answer = (run: EngineSources["cni"]) => async (request: FastifyRequest, reply: FastifyReply) => {
    const { ok, text } = await run(request.query, typeof request.body === "string" ? request.body : "");
    return reply
      .status(ok ? 200 : 400)
      .type("application/json")
      .send(text);
  };
  server.post(
    "/v1/cni",
    { bodyLimit },
    answer((values, input) => sources.cni(values, input)),
  );
  server.post(
    "/v1/netavark",
    { bodyLimit },
    answer((values, input) => sources.netavark(values, input)),
  );
}
