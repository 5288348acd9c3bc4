import { get, type Agent } from "node:http";
import type Dockerode from "dockerode";
import { withDeadline } from "../../common/deadline.js";
import { PontoonError } from "../../common/errors.js";
import type { Container, ListedEndpoint, Network } from "../inventory/types.js";
import type { DockerAddress } from "./address.js";
import { agentFor, connectionTo } from "./connection.js";
import { loadDockerode } from "./dockerode.js";
import { driverNetworkOf } from "./driver-networks.js";
import type { DriverNetwork, NewDockerNetwork } from "../inventory/driver-network.js";
import { EventLines, type DockerEvent } from "./events.js";
import { ListScanner, type Listed } from "./list-scanner.js";
import { containerOf, containerTooLarge, engineInfoOf, networkOf, type EngineInfo } from "./normalise.js";
import { StopWatch } from "./stop-watch.js";
import { reasonOf } from "./unreachable.js";

/** How long one request may take, ms. A container's inspect waits for its start to end, which takes seconds at times. */
const requestTime = 30_000;

/** Bytes that are read about one thing; reading more would hold up everybody else. */
const inspectAtMost = 4 << 20;

const wantedEvents = ["create", "start", "die", "destroy", "rename", "update", "connect", "disconnect", "remove"];

/** Which dockerd answers, and where it runs. */
export interface EngineIdentity {
  /** Of the installation, as `docker info` shows it; several dockerds on one host may share it. */
  readonly id: string;
  readonly rootDir: string;
  /** Release of the kernel its containers run on. */
  readonly kernel: string;
}

/** Checks before dockerd is spoken to. */
export interface EngineChecks {
  /** Rejects when a connection would do harm. */
  mayConnect(): Promise<void>;
  /** Throws when this dockerd must not be followed. */
  recognise(identity: EngineIdentity): void;
}

/** The Docker engine's API, as far as pontoon uses it. Every call ends, if only with an error. */
export class Engine {
  readonly #docker: Dockerode;
  readonly #agent: Agent;
  /** Only a subscription connects anew: a request that finds dockerd gone must not start it again. */
  #isOpen: boolean;

  /**
   * @param host the address as the user gave it, for messages
   * @param checks without them requests are made at once, with no subscription
   */
  constructor(
    readonly host: string,
    private readonly address: DockerAddress,
    private readonly checks?: EngineChecks,
  ) {
    this.#isOpen = checks === undefined;
    this.#agent = agentFor(address);
    this.#docker = dockerodeWith(this.#agent);
  }

  /** Containers whatever their state, by id. */
  async containerIds(): Promise<string[]> {
    return (await this.#list("/containers/json?all=1")).map(({ id }) => id);
  }

  /** @returns undefined when there is no such container any more */
  async container(id: string): Promise<Container | undefined> {
    const info = await orGone(() => this.#inspect(`/containers/${encodeURIComponent(id)}/json`));
    if (info?.kind !== "too-large") return info && containerOf(info.value as Dockerode.ContainerInspectInfo);
    const [listed] = await this.#list(
      `/containers/json?all=1&filters=${encodeURIComponent(JSON.stringify({ id: [id] }))}`,
    );
    return (
      listed &&
      containerTooLarge(
        id,
        listed.name,
        listed.state === "running",
        `what dockerd says about it is more than the ${inspectAtMost >> 20} MB that pontoon reads about a container`,
      )
    );
  }

  /** Id of a container by its name: told at once, whatever dockerd is doing with it. */
  async containerNamed(name: string): Promise<string | undefined> {
    const filters = encodeURIComponent(JSON.stringify({ name: [`^/?${name}$`] }));
    const listed = await this.#list(`/containers/json?all=1&filters=${filters}`);
    return listed.find((each) => each.name === `/${name}` || each.name === name)?.id;
  }

  async networkIds(): Promise<string[]> {
    return (await this.#list("/networks")).map(({ id }) => id);
  }

  /** @returns undefined when there is no such network any more */
  async network(id: string): Promise<{ network: Network; endpoints: ListedEndpoint[] } | undefined> {
    const info = await orGone(() => this.#inspect(`/networks/${encodeURIComponent(id)}`));
    if (info?.kind === "too-large")
      throw new Error(`what dockerd says about network ${id} is more than ${inspectAtMost >> 20} MB`);
    return info && networkOf(info.value as Dockerode.NetworkInspectInfo);
  }

  /** Networks of this driver, or with this IPAM driver. */
  async driverNetworks(driver: string): Promise<DriverNetwork[]> {
    const list = await this.#inspect("/networks");
    if (list.kind === "too-large" || !Array.isArray(list.value)) throw new Error("dockerd's networks are too many");
    const ours = list.value.map(driverNetworkOf).filter((each) => [each.driver, each.ipamDriver].includes(driver));
    const found = await Promise.all(ours.map(({ id }) => this.driverNetwork(id)));
    return found.filter((network) => network !== undefined);
  }

  /** @returns undefined when there is no such network any more */
  async driverNetwork(id: string): Promise<DriverNetwork | undefined> {
    const info = await orGone(() => this.#inspect(`/networks/${encodeURIComponent(id)}`));
    if (info?.kind === "too-large") throw new Error(`what dockerd says about network ${id} is more than can be read`);
    return info && driverNetworkOf(info.value);
  }

  /** Makes a network, unless there is one of its name. Rejects with what dockerd says. */
  async createNetwork({ name, driver, ipamDriver, internal, ipv6, ...rest }: NewDockerNetwork): Promise<void> {
    const config = rest.pools.map(({ subnet, gateway, ipRange }) => ({
      Subnet: subnet,
      Gateway: gateway,
      ...(ipRange !== undefined && { IPRange: ipRange }),
    }));
    const asked = this.#open().createNetwork({
      Name: name,
      Driver: driver,
      CheckDuplicate: true, // dockerd before 25 makes a second one without
      Internal: internal,
      EnableIPv6: ipv6,
      Options: { ...rest.options },
      IPAM: { Driver: ipamDriver, Config: config, Options: { ...rest.ipamOptions } },
    });
    await within(asked, "POST /networks/create");
  }

  /** Rejects with what dockerd says, as while containers are on it. Does nothing to one that is gone. */
  async removeNetwork(id: string): Promise<void> {
    await orGone(() => within(this.#open().getNetwork(id).remove(), `DELETE /networks/${id}`));
  }

  async #inspect(path: string): Promise<{ kind: "read"; value: unknown } | { kind: "too-large" }> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of await this.#get(path)) {
      size += chunk.length;
      if (size > inspectAtMost) return { kind: "too-large" }; // leaving the loop closes the connection
      chunks.push(chunk);
    }
    return { kind: "read", value: JSON.parse(Buffer.concat(chunks).toString()) };
  }

  async #list(path: string): Promise<Listed[]> {
    const all: Listed[] = [];
    const scanner = new ListScanner((listed) => all.push(listed));
    for await (const chunk of await this.#get(path)) scanner.push(chunk);
    if (!scanner.isOver) throw new Error(`GET ${path}: the list ended in the middle`);
    return all;
  }

  /** The answer's body as it comes, where the library would wait for all of it. Rejects with the status code of a refusal. */
  #get(path: string): Promise<AsyncIterable<Buffer>> {
    this.#open();
    return new Promise((resolve, reject) => {
      const request = get({ agent: this.#agent, host: "docker", path, signal: limit() }, (answer) => {
        if (answer.statusCode === 200) return resolve(answer);
        answer.resume();
        reject(
          Object.assign(new Error(`GET ${path}: ${answer.statusCode} ${answer.statusMessage}`), {
            statusCode: answer.statusCode,
          }),
        );
      });
      request.on("error", reject);
    });
  }

  async version(): Promise<string> {
    const { Version } = await within(this.#open().version(), "GET /version");
    return Version;
  }

  /** How this dockerd was started, as far as its API tells; also before it is subscribed to. */
  async info(): Promise<EngineInfo> {
    return engineInfoOf(await within(this.#docker.info(), "GET /info"));
  }

  /**
   * Subscribes to events. Resolves when dockerd has accepted the subscription: what happens later is not missed.
   * Rejects with the reason and its remedy, or what `checks` threw.
   * @param onEnd called once, when the stream ends for whatever reason other than `close`
   */
  async subscribe(onEvent: (event: DockerEvent) => void, onEnd: (reason: string) => void): Promise<{ close(): void }> {
    await this.checks?.mayConnect();
    const stream = await this.#connect();
    this.#isOpen = true;
    const lines = new EventLines(onEvent);
    let over = false;
    const end = (reason: string) => {
      if (over) return;
      over = true;
      this.#isOpen = false;
      watch?.close();
      onEnd(reason);
    };
    const watch = this.#watchForStop(() => end("dockerd is stopping"));
    stream.on("data", (chunk: Buffer) => lines.push(chunk));
    stream.on("end", () => end("the event stream ended"));
    stream.on("close", () => end("the event stream was closed"));
    stream.on("error", (error: Error) => end(error.message));
    return {
      close: () => {
        over = true;
        this.#isOpen = false;
        watch?.close();
        (stream as unknown as { destroy(): void }).destroy();
        this.#agent.destroy();
      },
    };
  }

  /** Through ssh a connection is a process, and dockerd stops as it does with any client there. */
  #watchForStop(onStop: () => void): StopWatch | undefined {
    const { address, checks } = this;
    return address.kind === "ssh"
      ? undefined
      : new StopWatch(
          () => connectionTo(address),
          async () => checks?.mayConnect(),
          onStop,
        );
  }

  async #connect(): Promise<NodeJS.ReadableStream> {
    try {
      this.checks?.recognise(identityOf(await within(this.#docker.info(), "GET /info")));
      return await within(
        this.#docker.getEvents({ filters: { type: ["container", "network"], event: wantedEvents } }),
        "GET /events",
      );
    } catch (error) {
      if (error instanceof PontoonError) throw error;
      throw new Error(reasonOf(error, this.address));
    }
  }

  #open(): Dockerode {
    if (!this.#isOpen) throw new Error("not connected to dockerd");
    return this.#docker;
  }
}

/** The library would let DOCKER_HOST win over what it is given, and read its certificates. */
function dockerodeWith(agent: Agent): Dockerode {
  const { DOCKER_HOST } = process.env;
  delete process.env.DOCKER_HOST;
  try {
    const Dockerode = loadDockerode();
    const options = { protocol: "http" as const, host: "docker", port: 80, agent }; // the published type knows no agent
    return new Dockerode(options);
  } finally {
    if (DOCKER_HOST !== undefined) process.env.DOCKER_HOST = DOCKER_HOST;
  }
}

function identityOf(info: unknown): EngineIdentity {
  const { ID, DockerRootDir, KernelVersion } = info as Record<string, unknown>;
  const text = (value: unknown) => (typeof value === "string" ? value : "");
  return { id: text(ID), rootDir: text(DockerRootDir), kernel: text(KernelVersion) };
}

function limit(): AbortSignal {
  return AbortSignal.timeout(requestTime);
}

/** Fails when dockerd does not answer in time; what comes later is not used. */
async function within<Value>(answer: Promise<Value>, what: string): Promise<Value> {
  return withDeadline(requestTime, answer, () => new Error(`${what}: no answer within ${requestTime / 1000} s`));
}

async function orGone<Value>(inspect: () => Promise<Value>): Promise<Value | undefined> {
  try {
    return await inspect();
  } catch (error) {
    if ((error as { statusCode?: number }).statusCode === 404) return undefined;
    throw error;
  }
}
