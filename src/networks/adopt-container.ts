import { PontoonError } from "../../common/errors.js";
import type { Container } from "../inventory/types.js";
import type { CreateSandboxRequest } from "./contract.js";
import type { DockersContainers } from "./dockers-networks.js";

/** The namespace of a container, as a request for a sandbox names it. */
export interface ContainerNamespace {
  /** Its id. */
  readonly container: string;
  readonly adopt: string;
  readonly hostname: string;
}

/** Throws NO_SUCH_CONTAINER, CONTAINER_UNFIT, OPTION_CONFLICT. */
export function containerToAdopt(docker: DockersContainers, request: CreateSandboxRequest): ContainerNamespace {
  const name = request.container!;
  const unfit = (why: string) =>
    new PontoonError("CONTAINER_UNFIT", name, `container ${name} cannot be adopted: ${why}`);
  if (!docker.isFollowed) throw unfit("the daemon runs without Docker (--docker none)");
  const container = docker.find(name);
  if (!container)
    throw new PontoonError("NO_SUCH_CONTAINER", name, `Docker has no container ${name}; see \`docker ps\``);
  const target = namespaceOf(container);
  if (container.networkMode.kind !== "none")
    throw unfit("it has a network of Docker's; only those of `docker run --network none` have none");
  if (target === undefined) throw unfit("it does not run; start it first");
  if (request.hostname !== undefined || request.adopt !== undefined || request.join !== undefined)
    throw new PontoonError(
      "OPTION_CONFLICT",
      name,
      `container ${name} has a hostname and a network namespace already; leave out --hostname, --pid, --netns and --join`,
    );
  return { container: container.id, adopt: target, hostname: container.hostname };
}

/** Undefined while it does not run. */
export function namespaceOf({ running, sandbox }: Container): string | undefined {
  return running && sandbox?.kind === "process" ? `/proc/${sandbox.pid}/ns/net` : undefined;
}
