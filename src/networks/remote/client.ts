import { request, type IncomingMessage, type RequestOptions } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import type { z } from "zod";
import { errorCode, PontoonError } from "../../../common/errors.js";
import { printable } from "../../../common/printable.js";
import { findPlugin, placesInWords, dockersPlaces, type PluginAddress, type PluginPlaces } from "./places.js";
import { activation } from "./protocol.js";

/** What a plugin may be. */
export type PluginKind = "NetworkDriver" | "IpamDriver";

export interface PluginPatience {
  /** Until an answer has to be there as a whole, ms. Docker waits for ever. */
  readonly answer: number;
  /** Before it is tried again whether anybody listens there, ms: a plugin that is started anew is away for a moment. */
  readonly again: readonly number[];
}

export const usualPatience: PluginPatience = { answer: 10_000, again: [250, 500, 1000] };

/** Bytes of an answer, at most. */
const answerAtMost = 1 << 20;
/** Letters of what a plugin says of an error that are passed on. */
const reasonAtMost = 500;
const accept = "application/vnd.docker.plugins.v1.2+json";

/**
 * A plugin of Docker's kind, as whoever asks it: POST with JSON, and an answer that is bounded in size and time. A call is
 * said again only where nothing of it has been said yet. Each call has a connection of its own: one that was kept may have
 * been closed by a plugin that is started anew, and the call would be lost on it.
 */
export class PluginClient {
  /** What it has said that it is. */
  readonly #kinds = new Set<string>();

  constructor(
    readonly name: string,
    private readonly places: PluginPlaces = dockersPlaces,
    private readonly patience: PluginPatience = usualPatience,
    /** Ends what is under way. */
    private readonly signal?: AbortSignal,
  ) {}

  /** Whether it is to be found; it may not answer. Throws PLUGIN_UNFIT. */
  get isFound(): boolean {
    return findPlugin(this.name, this.places) !== undefined;
  }

  /** Rejects with PLUGIN_UNFIT when it is a plugin of another kind, and as {@link call} does. */
  async require(kind: PluginKind): Promise<void> {
    if (this.#kinds.has(kind)) return;
    const { Implements } = await this.call("Plugin.Activate", undefined, activation);
    if (!Implements.includes(kind)) {
      const what = printable(Implements.join(", ")).slice(0, 200) || "nothing";
      const message = `the plugin ${this.name} is no ${kind}: it says that it is ${what}`;
      throw new PontoonError("PLUGIN_UNFIT", this.name, message);
    }
    for (const each of Implements) this.#kinds.add(each);
  }

  /**
   * Asks it for a method, `NetworkDriver.Join`.
   * @param body undefined where it is asked with nothing
   * @param patience waits once, and no longer, where nobody listens, with `again: []`
   * Rejects with PLUGIN_UNREACHABLE, PLUGIN_SLOW, PLUGIN_REFUSED with what it says, PLUGIN_ANSWER_INVALID, PLUGIN_UNFIT,
   * DAEMON_ENDING.
   */
  async call<Answer>(
    method: string,
    body: object | undefined,
    schema: z.ZodType<Answer>,
    patience: Partial<PluginPatience> = {},
  ): Promise<Answer> {
    const { again, answer } = { ...this.patience, ...patience };
    const text = body === undefined ? "" : `${JSON.stringify(body)}\n`;
    for (const wait of [...again, undefined])
      try {
        return this.#read(method, await ask(this.#address(), method, text, answer, this.signal), schema);
      } catch (error) {
        if (error instanceof PontoonError) throw error;
        if (!unsaid.has(errorCode(error) ?? "") || wait === undefined) throw this.#explained(method, error, answer);
        await delay(wait, undefined, { signal: this.signal }).catch((ended: unknown) => {
          throw this.#explained(method, ended, answer);
        });
      }
    throw new Error("not reached");
  }

  #address(): PluginAddress {
    const address = findPlugin(this.name, this.places);
    if (address) return address;
    throw withCode("ENOENT", `it is not to be found in ${placesInWords(this.places)}`);
  }

  #read<Answer>(method: string, { status, text }: Reply, schema: z.ZodType<Answer>): Answer {
    const value = jsonOf(text);
    const reason = reasonIn(value);
    if (reason !== "") throw this.#refused(method, reason);
    if (status !== 200)
      throw this.#refused(method, status === 404 ? "it has no such method" : inWords(status, text, value));
    // Methods that answer nothing may say so with nothing.
    const isEmpty = text.trim() === "";
    const read = schema.safeParse(isEmpty ? {} : value);
    const isJson = isEmpty || value !== undefined;
    if (read.success && isJson) return read.data;
    const issue = read.error?.issues[0];
    const where = issue?.path.map(String).join(".") || "the answer";
    const what = isJson ? `${where}: ${issue?.message ?? "cannot be understood"}` : "it is not JSON";
    throw new PontoonError(
      "PLUGIN_ANSWER_INVALID",
      this.name,
      `the plugin ${this.name} answered ${method} with what makes no sense: ${printable(what).slice(0, reasonAtMost)}`,
    );
  }

  #refused(method: string, reason: string): PontoonError {
    const words = printable(reason.trim()).slice(0, reasonAtMost);
    return new PontoonError("PLUGIN_REFUSED", this.name, `the plugin ${this.name} refused ${method}: ${words}`);
  }

  #explained(method: string, error: unknown, time: number): PontoonError {
    const { name } = this;
    if (this.signal?.aborted) return new PontoonError("DAEMON_ENDING", name, "the daemon is about to end");
    if (errorCode(error) === "ETIME") {
      const message = `the plugin ${name} did not answer ${method} within ${time / 1000} s; see what it does, or start it anew`;
      return new PontoonError("PLUGIN_SLOW", name, message);
    }
    if (errorCode(error) === "EMSGSIZE") {
      const message = `the plugin ${name} answered ${method} with more than ${answerAtMost} bytes, which are not read`;
      return new PontoonError("PLUGIN_ANSWER_INVALID", name, message);
    }
    const isUnsaid = unsaid.has(errorCode(error) ?? "");
    const what = isUnsaid ? "cannot be reached" : `cut the connection off when it was asked for ${method}`;
    const message = `the plugin ${name} ${what}; see whether it runs, then try again`;
    return new PontoonError("PLUGIN_UNREACHABLE", name, message, { cause: error });
  }
}

/** How it is told that nobody has heard a word yet. */
const unsaid = new Set(["ECONNREFUSED", "ENOENT", "EHOSTUNREACH", "ENETUNREACH", "EAGAIN", "ENOTFOUND", "EAI_AGAIN"]);

interface Reply {
  readonly status: number;
  readonly text: string;
}

function ask(address: PluginAddress, method: string, text: string, time: number, signal?: AbortSignal): Promise<Reply> {
  const place: RequestOptions =
    address.kind === "unix" ? { socketPath: address.path } : { host: address.host, port: address.port };
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        ...place,
        method: "POST",
        path: `/${method}`,
        agent: false,
        maxHeaderSize: 16_384,
        headers: headersFor(text),
        signal,
      },
      (response) => {
        collect(
          response,
          (reply) => {
            clearTimeout(timer);
            resolve(reply);
          },
          fail,
        );
      },
    );
    const fail = (error: Error) => {
      clearTimeout(timer);
      asked.destroy();
      reject(error);
    };
    const timer = setTimeout(() => fail(withCode("ETIME", "it took too long")), time);
    asked.on("error", fail);
    asked.end(text);
  });
}

function headersFor(text: string) {
  return { accept, host: "plugin.moby.localhost", "content-length": Buffer.byteLength(text) };
}

function collect(response: IncomingMessage, onWhole: (reply: Reply) => void, fail: (error: Error) => void): void {
  const parts: Buffer[] = [];
  let size = 0;
  response.on("data", (part: Buffer) => {
    size += part.length;
    if (size > answerAtMost) return fail(withCode("EMSGSIZE", "it is too large"));
    parts.push(part);
  });
  response.on("error", fail);
  response.on("end", () => onWhole({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString() }));
}

function withCode(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

/** @returns undefined for what is no JSON */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What is wrong, as network drivers say it (`Err`) and as IPAM drivers do (`Error`); empty where nothing is. */
function reasonIn(value: unknown): string {
  if (typeof value !== "object" || value === null) return "";
  const { Err, Error } = value as { Err?: unknown; Error?: unknown };
  return [Err, Error].find((reason): reason is string => typeof reason === "string" && reason.trim() !== "") ?? "";
}

/** Of a reply that is none of success. One in JSON that says nothing is no reason. */
function inWords(status: number, text: string, value: unknown): string {
  const said = value === undefined ? text.trim() : "";
  return said === "" ? `it does not say why (HTTP ${status})` : `${said} (HTTP ${status})`;
}
