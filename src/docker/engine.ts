import Dockerode from "dockerode";
import { PontoonError } from "../errors.js";
import type { Container, ListedEndpoint, Network } from "../inventory/types.js";
import { EventLines, type DockerEvent } from "./events.js";
import { containerOf, engineInfoOf, networkOf, type EngineInfo } from "./normalise.js";

/** How long one request may take, ms. A container's inspect waits for its start to end, which takes seconds at times. */
const requestTime = 30_000;

const wantedEvents = ["create", "start", "die", "destroy", "rename", "update", "connect", "disconnect", "remove"];

/** The Docker engine's API, as far as pontoon uses it. Every call ends, be it with an error. */
export class Engine {
  readonly #docker: Dockerode;

  /** @param host as DOCKER_HOST may hold it. Throws DOCKER_HOST_INVALID. */
  constructor(readonly host: string) {
    this.#docker = new Dockerode(connectionOptions(host));
  }

  /** Containers whatever their state, by id. */
  async containerIds(): Promise<string[]> {
    const list = await this.#docker.listContainers({ all: true, abortSignal: limit() });
    return list.map((container) => container.Id);
  }

  /** @returns undefined when there is no such container any more */
  async container(id: string): Promise<Container | undefined> {
    return orGone(async () => containerOf(await this.#docker.getContainer(id).inspect({ abortSignal: limit() })));
  }

  async networkIds(): Promise<string[]> {
    const list = await this.#docker.listNetworks({ abortSignal: limit() });
    return list.map((network) => network.Id);
  }

  /** @returns undefined when there is no such network any more */
  async network(id: string): Promise<{ network: Network; endpoints: ListedEndpoint[] } | undefined> {
    return orGone(async () => networkOf(await this.#inspectNetwork(id)));
  }

  /** The published types know no options here; the library takes them. */
  #inspectNetwork(id: string): Promise<Dockerode.NetworkInspectInfo> {
    const network = this.#docker.getNetwork(id) as unknown as { inspect(options: { abortSignal: AbortSignal }): Promise<Dockerode.NetworkInspectInfo> };
    return network.inspect({ abortSignal: limit() });
  }

  async version(): Promise<string> {
    const { Version } = await within(this.#docker.version(), "GET /version");
    return Version;
  }

  /** How this dockerd was started, as far as its API tells. */
  async info(): Promise<EngineInfo> {
    return engineInfoOf(await within(this.#docker.info(), "GET /info"));
  }

  /**
   * Subscribes to events. Resolves when dockerd has accepted the subscription: what happens later is not missed.
   * @param onEnd called once, when the stream ends for whatever reason other than `close`
   */
  async subscribe(onEvent: (event: DockerEvent) => void, onEnd: (reason: string) => void): Promise<{ close(): void }> {
    const stream = await within(this.#docker.getEvents({ filters: { type: ["container", "network"], event: wantedEvents } }), "GET /events");
    const lines = new EventLines(onEvent);
    let over = false;
    const end = (reason: string) => {
      if (over) return;
      over = true;
      onEnd(reason);
    };
    stream.on("data", (chunk: Buffer) => lines.push(chunk));
    stream.on("end", () => end("the event stream ended"));
    stream.on("close", () => end("the event stream was closed"));
    stream.on("error", (error: Error) => end(error.message));
    return {
      close: () => {
        over = true;
        (stream as unknown as { destroy(): void }).destroy();
      },
    };
  }
}

function limit(): AbortSignal {
  return AbortSignal.timeout(requestTime);
}

/** Fails when dockerd does not answer in time; what comes later is not used. */
async function within<Value>(answer: Promise<Value>, what: string): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: no answer within ${requestTime / 1000} s`)), requestTime);
  });
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}

async function orGone<Value>(inspect: () => Promise<Value>): Promise<Value | undefined> {
  try {
    return await inspect();
  } catch (error) {
    if ((error as { statusCode?: number }).statusCode === 404) return undefined;
    throw error;
  }
}

function connectionOptions(host: string): Dockerode.DockerOptions {
  if (host.startsWith("/")) return { socketPath: host };
  const match = /^(unix|tcp|http|https):\/\/(.+)$/.exec(host);
  if (!match) throw new PontoonError("DOCKER_HOST_INVALID", host, `--docker ${host}: not an address of a dockerd; write unix:///path/docker.sock or tcp://host:port`);
  const [, scheme, rest] = match;
  if (scheme === "unix") return { socketPath: rest! };
  const url = new URL(host.replace(/^tcp:/, "http:"));
  return { host: url.hostname, port: url.port === "" ? 2375 : Number(url.port), protocol: scheme === "https" ? "https" : "http" };
}
