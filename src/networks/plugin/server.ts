import { once } from "node:events";
import { mkdirSync, symlinkSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { dirname, relative } from "node:path";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import fastify, { type FastifyInstance, type FastifyReply } from "fastify";
import type { z } from "zod";
import { withDeadline } from "../../../common/deadline.js";
import { describeError, errorCode, PontoonError } from "../../../common/errors.js";
import { removeFile } from "../../../common/files.js";

/** A method of the plugin protocol, `NetworkDriver.Join`. */
export interface PluginMethod {
  /** What it is asked with; undefined where it is asked with nothing. */
  readonly call: z.ZodType | undefined;
  /** The field by which the method's callers are told what is wrong. */
  readonly problem: "Err" | "Error";
  readonly run: (call: unknown) => Promise<object>;
}

/** A start that publishes every port of a host names each: some 8 MB. */
const callAtMost = 32 << 20; // bytes
const contentType = "application/vnd.docker.plugins.v1.2+json";
/** Until a call that is under way is answered when the daemon ends, ms. */
const answerTime = 5000;

/**
 * Where dockerd finds the plugin. It looks a driver up by the link's name, and follows the link. In looking for plugins of any
 * kind, as for `docker volume ls`, it sees sockets only: so a daemon that was killed, and has left its socket, costs those who
 * have no networks of ours nothing. At a socket it would wait 15 s each time.
 */
export interface PluginSocket {
  readonly path: string;
  readonly link: string;
  /** A socket that listens already, and that a service manager keeps, with a link to it. */
  readonly inherited?: number | undefined;
}

/** Until a call is answered that cannot be done, or not yet, ms: dockerd itself waits for ever. Everything in front of it takes less. */
const usualCallTime = 60_000;

/**
 * The plugin's socket: HTTP as dockerd speaks it to plugins. dockerd never gives a call up, and says it again without its text
 * when the connection was cut: so every call is answered, and one without a text that needs one is refused.
 */
export class PluginServer {
  readonly #server: FastifyInstance;
  readonly #answering = new Set<ServerResponse>();
  #isListening = false;

  constructor(
    private readonly socket: PluginSocket,
    methods: ReadonlyMap<string, PluginMethod>,
    private readonly onFault: (method: string, error: unknown) => void,
    private readonly callTime = usualCallTime,
  ) {
    this.#server = fastify({
      logger: false,
      bodyLimit: callAtMost,
      // dockerd keeps connections; one that is closed while a call is on its way costs the call its text.
      keepAliveTimeout: 0,
      http: { requireHostHeader: false }, // dockerd before 25 sends an empty one
    });
    this.#server.addHook("onRequest", (_, { raw }, done) => {
      this.#answering.add(raw);
      raw.once("close", () => this.#answering.delete(raw));
      done();
    });
    this.#server.removeAllContentTypeParsers();
    this.#server.addContentTypeParser("*", { parseAs: "string" }, (_, body, done) => done(null, body));
    for (const [name, method] of methods)
      this.#server.post(`/${name}`, async ({ body }, reply) => {
        void reply.header("content-type", contentType);
        return JSON.stringify(await this.#answer(name, method, typeof body === "string" ? body : ""));
      });
    this.#server.setNotFoundHandler(({ url }, reply) =>
      refuse(reply, 404, `pontoon has no method ${url.slice(0, 100)}`),
    );
    // What cannot be read as HTTP, or is larger than any call.
    this.#server.setErrorHandler((error, _, reply) =>
      refuse(reply, 400, `the call cannot be read: ${describeError(error)}`),
    );
  }

  async #answer(name: string, { call, problem, ...method }: PluginMethod, text: string): Promise<object> {
    try {
      const asked = call === undefined ? undefined : readCall(name, call, text);
      return await withDeadline(this.callTime, method.run(asked), () => slow(name, this.callTime));
    } catch (error) {
      if (!(error instanceof PontoonError)) this.onFault(name, error);
      return { [problem]: describeError(error) };
    }
  }

  /** Listens, in place of a daemon that has ended. Throws PLUGIN_TAKEN while another daemon answers there. */
  async start(): Promise<void> {
    const { inherited } = this.socket;
    if (inherited === undefined) return this.#listen();
    await this.#server.ready();
    this.#server.server.listen({ fd: inherited });
    await once(this.#server.server, "listening");
    this.#isListening = true;
  }

  async #listen(): Promise<void> {
    const { path, link } = this.socket;
    for (const each of [path, link])
      if (await isAnswered(each))
        throw new PontoonError(
          "PLUGIN_TAKEN",
          link,
          `another daemon serves Docker's networks of the driver pontoon at ${each}; stop it first`,
        );
    removeFile(path);
    const mask = process.umask(0o177);
    try {
      await this.#server.listen({ path });
      this.#isListening = true;
    } finally {
      process.umask(mask);
    }
    mkdirSync(dirname(link), { recursive: true, mode: 0o700 }); // as dockerd makes /run/docker
    removeFile(link);
    symlinkSync(relative(dirname(link), path), link);
  }

  /** Answers what was asked; who asks later waits for the next daemon, where somebody else keeps the socket. Can be called twice. */
  async stop(): Promise<void> {
    if (!this.#isListening) return;
    this.#isListening = false;
    if (this.socket.inherited === undefined) removeFile(this.socket.link);
    else this.#server.server.close(); // fastify closes only what it has opened itself
    const answered = Promise.all([...this.#answering].map((response) => once(response, "close")));
    await Promise.race([answered, delay(answerTime, undefined, { ref: false })]);
    // dockerd may have opened some that it has not used yet: for Node they are not idle, and it would wait for them.
    this.#server.server.closeAllConnections();
    await this.#server.close();
  }
}

/** It may be done all the same, later: what dockerd asks for then to undo it comes behind it. */
function slow(method: string, time: number): PontoonError {
  return new PontoonError(
    "CALL_SLOW",
    method,
    `${method} was not done within ${time / 1000} s; see \`pontoon status\` and the daemon's log, then try it again`,
  );
}

/** Whichever field dockerd reads. */
function refuse(reply: FastifyReply, status: number, Err: string): FastifyReply {
  return reply
    .code(status)
    .header("content-type", contentType)
    .send(JSON.stringify({ Err, Error: Err }));
}

function readCall(method: string, schema: z.ZodType, text: string): unknown {
  if (text.trim() === "")
    throw new PontoonError(
      "CALL_EMPTY",
      method,
      `dockerd asked ${method} without saying of what, as it does when the connection was cut: try it again`,
    );
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new PontoonError("CALL_INVALID", method, `${method} was asked with what is not JSON`, { cause: error });
  }
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  const field = issue?.path.map(String).join(".") || "the call";
  throw new PontoonError("CALL_INVALID", method, `${method}: ${field}: ${issue?.message ?? "cannot be understood"}`);
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", (error) => resolve(errorCode(error) === "EACCES"));
  });
}
