import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { HelperProcess } from "../../integration/lab/helper-process.js";
import { repositoryRoot } from "../../integration/lab/root.js";
import type { DockerProxiesReply, DockerProxiesRequest, Mapping } from "./docker-proxies-child.js";
import type { PontoonReply, PontoonRequest } from "./pontoon-child.js";
import type { World } from "./world.js";

/** One of the two that are compared. */
export interface Side {
  readonly name: "pontoon" | "docker-proxy";
  /** Publishes ports in addition to those it has. */
  publish(mappings: readonly Mapping[]): Promise<void>;
  /** All its processes by their numbers in the world: what serves ports first, for pontoon pontoon-proxy before all. */
  processes(): Promise<readonly number[]>;
  /** Ends all of them. */
  stop(): Promise<void>;
}

/** A side's name and how it is started. */
export interface SideKind {
  readonly name: Side["name"];
  start(world: World): Promise<Side>;
}

/** A helper program of this folder, in its built form. */
export const childProgram = (file: string) => fileURLToPath(new URL(file, import.meta.url));

/** Where Debian, Docker's own packages and Docker ≥ 23 put it. */
const dockerProxyPlaces = ["/usr/sbin/docker-proxy", "/usr/bin/docker-proxy", "/usr/libexec/docker/docker-proxy"];

/** Docker's own docker-proxy. */
export function dockerProxyProgram(): string {
  const found = dockerProxyPlaces.find((place) => existsSync(place));
  if (found === undefined) throw new Error(`there is no docker-proxy at ${dockerProxyPlaces.join(", ")}`);
  return found;
}

/** Docker's way: one docker-proxy for each mapping. */
export const dockerProxySide: SideKind = {
  name: "docker-proxy",
  start: (world) => Promise.resolve(new DockerProxies(world, "docker-proxy", dockerProxyProgram(), {})),
};

/** pontoon-proxy as it ships, and a shim for each mapping. */
export const pontoonSide: SideKind = { name: "pontoon", start: (world) => PontoonSide.start(world) };

/** Processes with Docker's contract, one for each mapping. */
class DockerProxies implements Side {
  readonly #helper: HelperProcess<DockerProxiesRequest, DockerProxiesReply>;
  #pids: readonly number[] = [];

  constructor(
    world: World,
    readonly name: Side["name"],
    private readonly program: string,
    private readonly env: Readonly<Record<string, string>>,
  ) {
    this.#helper = world.helper(childProgram("docker-proxies-child.js"));
  }

  async publish(mappings: readonly Mapping[]): Promise<void> {
    this.#pids = (await this.#helper.call({ do: "publish", program: this.program, env: this.env, mappings })).pids;
  }

  processes(): Promise<readonly number[]> {
    return Promise.resolve(this.#pids);
  }

  async stop(): Promise<void> {
    await this.#helper.call({ do: "withdraw" });
    await this.#helper.release();
  }
}

let started = 0;

/** pontoon-proxy, what stands for the daemon and starts its workers, and a shim for each mapping. */
class PontoonSide implements Side {
  readonly name = "pontoon";

  private constructor(
    private readonly world: World,
    private readonly runDir: string,
    private readonly daemon: HelperProcess<PontoonRequest, PontoonReply>,
    private readonly shims: DockerProxies,
  ) {}

  static async start(world: World): Promise<PontoonSide> {
    const runDir = `/run/bench/pontoon-${++started}`;
    const daemon = world.helper<PontoonRequest, PontoonReply>(childProgram("pontoon-child.js"));
    await daemon.call({ runDir });
    // Patient: becoming Docker's own docker-proxy meanwhile would spoil what is measured.
    const env = { PONTOON_RUN_DIR: runDir, PONTOON_PATIENCE_MS: "20000" };
    return new PontoonSide(
      world,
      runDir,
      daemon,
      new DockerProxies(world, "pontoon", join(repositoryRoot, "bin", "pontoon-docker-proxy"), env),
    );
  }

  publish(mappings: readonly Mapping[]): Promise<void> {
    return this.shims.publish(mappings);
  }

  async processes(): Promise<readonly number[]> {
    return [...(await this.#servers()), ...(await this.shims.processes())];
  }

  async stop(): Promise<void> {
    await this.shims.stop();
    const servers = await this.#servers();
    await this.daemon.release(); // or it would start another
    await this.world.run(["kill", "-KILL", ...servers.map(String)]);
  }

  async #servers(): Promise<readonly number[]> {
    const { proxy, workers } = await this.daemon.call({ runDir: this.runDir });
    return [proxy, ...workers];
  }
}
