import { portsAnswer, statusAnswer } from "../../control/answers.js";
import type { ControlClient } from "../../control/client.js";
import type { InventoryAnswer } from "../../control/inventory-answer.js";
import { errorCode } from "../../../common/errors.js";
import type { Container, Network } from "../../inventory/types.js";
import type { PortRow } from "../../ports/contract.js";

/** What the daemon knows, or dockerd where there is no daemon. */
export interface Known {
  readonly containers: readonly Container[];
  readonly networks: readonly Network[];
  readonly ports: readonly PortRow[];
  readonly daemon: { readonly ports: string; readonly portsDetail: string; readonly dns: string } | undefined;
}

/**
 * Asks the daemon, and without one dockerd. Throws NOT_ALLOWED, DOCKER_HOST_INVALID, DOCKER_CERTIFICATES.
 * @param docker as given with `--docker`
 */
export async function lookUp(client: ControlClient, docker: string | undefined): Promise<Known> {
  try {
    const [status, inventory, ports] = await Promise.all([
      client.get("/v1/status").then(statusAnswer),
      client.get("/v1/inventory"),
      client.get("/v1/ports").then(portsAnswer),
    ]);
    const { dns, ports: proxy } = status;
    const daemon = { ports: proxy.state, portsDetail: proxy.detail, dns: dns.state };
    return { ...(inventory as InventoryAnswer), ports, daemon };
  } catch (error) {
    if (errorCode(error) !== "NO_DAEMON") throw error;
    return withoutDaemon(docker ?? process.env.DOCKER_HOST ?? "unix:///var/run/docker.sock");
  }
}

async function withoutDaemon(host: string): Promise<Known> {
  const { probeDocker } = await import("../../check/docker.js"); // beside a daemon it is not needed
  const { inventory } = await probeDocker(host);
  const containers = [...(inventory?.containers.values() ?? [])];
  return {
    containers,
    networks: [...(inventory?.networks.values() ?? [])],
    ports: containers.flatMap(rowsOf),
    daemon: undefined,
  };
}

/** What Docker publishes of a container. */
function rowsOf({ name, published, unboundPort }: Container): PortRow[] {
  const row = { container: name, by: "docker", source: "docker" } as const;
  return [
    ...published.map((port): PortRow => ({ ...row, ...port, state: "open" })),
    ...(unboundPort ? [{ ...row, ...unboundPort, state: "failed", reason: "the port was taken" } as const] : []),
  ];
}
