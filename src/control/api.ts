import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import fastify, { type FastifyInstance } from "fastify";
import { z } from "zod";
import type { Explanation } from "../../dns/protocol.js";
import { describeError, errorCode, PontoonError } from "../../common/errors.js";
import { removeFile } from "../../common/files.js";
import {
  publishRequest,
  unpublishRequest,
  type PortRow,
  type PublishRequest,
  type UnpublishRequest,
} from "../ports/contract.js";
import type { RecordRow } from "../names/record-rows.js";
import { addEngineRoutes, type EngineSources } from "./engine-routes.js";
import { addHostRoutes, type HostSources } from "./host-routes.js";
import { addNetworkRoutes, type NetworkSources } from "./network-routes.js";
import type { InventoryAnswer } from "./inventory-answer.js";
import type { Status } from "../status.js";

/** What the control API asks of the daemon. */
export interface ControlSources {
  status(): Promise<Status>;
  records(): RecordRow[];
  /** Asks the running server as a container would. @param query a DNS message */
  query(container: string, query: Buffer): Promise<Explanation>;
  /** @param name of every name without one  @returns how many cached answers were forgotten */
  flush(name: string | undefined): Promise<number>;
  /** Containers and networks, as they are kept. */
  inventory(): InventoryAnswer;
  /** @param container all of the host's without one */
  ports(container: string | undefined): Promise<readonly PortRow[]>;
  publish(request: PublishRequest): Promise<readonly PortRow[]>;
  unpublish(request: UnpublishRequest): Promise<readonly PortRow[]>;
  readonly networks: NetworkSources;
  readonly engines: EngineSources;
  readonly cluster: HostSources;
}

const flushBody = z.strictObject({ name: z.string().min(1).max(1024).exactOptional() });
const queryBody = z.strictObject({ container: z.string().min(1), query: z.base64() });
/** Until a client that does not read its answer is given up when the daemon ends, ms. */
const answerTime = 2000;

const portsQuery = z.strictObject({ container: z.string().min(1).optional() });

/** The control API: HTTP on a unix socket that only root may open. */
export class ControlApi {
  readonly #server: FastifyInstance;
  readonly #answering = new Set<ServerResponse>();

  constructor(
    private readonly socketPath: string,
    sources: ControlSources,
  ) {
    this.#server = fastify({ logger: false, bodyLimit: 64 * 1024 });
    this.#server.addHook("onRequest", (_, { raw }, done) => {
      this.#answering.add(raw);
      raw.once("close", () => this.#answering.delete(raw));
      done();
    });
    this.#server.get("/v1/status", () => sources.status());
    this.#server.get("/v1/inventory", () => sources.inventory());
    this.#server.get("/v1/dns/records", () => sources.records());
    this.#server.post("/v1/dns/query", async (request) => {
      const { container, query } = queryBody.parse(request.body);
      return sources.query(container, Buffer.from(query, "base64"));
    });
    this.#server.post("/v1/dns/flush", async (request) => ({
      forgotten: await sources.flush(flushBody.parse(request.body).name),
    }));
    this.#server.get("/v1/ports", (request) => sources.ports(portsQuery.parse(request.query).container));
    this.#server.post("/v1/ports/publish", (request) => sources.publish(publishRequest.parse(request.body)));
    this.#server.post("/v1/ports/unpublish", (request) => sources.unpublish(unpublishRequest.parse(request.body)));
    addNetworkRoutes(this.#server, sources.networks);
    addEngineRoutes(this.#server, sources.engines);
    addHostRoutes(this.#server, sources.cluster);
    this.#server.setErrorHandler((error, _request, reply) => {
      const told = error instanceof z.ZodError ? requestError(error) : error;
      const code = errorCode(told) ?? "INTERNAL";
      void reply.status(statusOfError(error)).send({ code, message: describeError(told) });
    });
  }

  /** Throws ALREADY_RUNNING when another daemon answers on the socket; a dead one's socket is replaced. */
  async start(): Promise<void> {
    if (await isAnswered(this.socketPath))
      throw new PontoonError(
        "ALREADY_RUNNING",
        this.socketPath,
        `another pontoon daemon answers on ${this.socketPath}; stop it first`,
      );
    removeFile(this.socketPath);
    const mask = process.umask(0o177); // and no chmod(2) afterwards, which would follow a link
    try {
      await this.#server.listen({ path: this.socketPath });
    } finally {
      process.umask(mask);
    }
  }

  /** Answers what was asked, then ends; a client that does not read its answer is waited for 2 s. */
  async stop(): Promise<void> {
    // Closing the server drops a connection whose answer is written, but not sent yet.
    const answered = Promise.all([...this.#answering].map((response) => once(response, "close")));
    await Promise.race([answered, delay(answerTime, undefined, { ref: false })]);
    await this.#server.close();
  }
}

/** The first thing that is wrong, in a sentence. */
function requestError({ issues }: z.ZodError): PontoonError {
  const [issue] = issues;
  const field = issue?.path.map(String).join(" ") || "the request";
  return new PontoonError("REQUEST_INVALID", field, `${field}: ${issue?.message ?? "cannot be understood"}`);
}

/** 400 for the caller's mistakes; fastify itself answers so for a body it cannot read. */
function statusOfError(error: unknown): number {
  if (error instanceof PontoonError || error instanceof z.ZodError) return 400;
  return (error as { statusCode?: number }).statusCode ?? 500;
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
