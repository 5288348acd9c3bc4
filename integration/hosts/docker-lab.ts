// What tests of containers on networks of several hosts share.
import { docker, tryDocker } from "../driver/host.js";
import { until, type Container } from "../lab/index.js";
import type { ClusterLab, DockerClusterHost } from "./hosts.js";

/** Options of `docker network create` for one of several hosts. */
export const overlay = "-d pontoon --ipam-driver pontoon -o pontoon.driver=overlay";

/** Names of dockerd's networks with our driver. */
export async function dockerNetworks({ host }: DockerClusterHost): Promise<string[]> {
  const names = await docker(host, "network ls --format={{.Name}} --filter=driver=pontoon");
  return names.split("\n").filter((name) => name !== "");
}

/** Waits until dockerd has a network, once. */
export async function untilListed(host: DockerClusterHost, name: string): Promise<void> {
  const isListed = async () => (await dockerNetworks(host)).filter((each) => each === name).length === 1;
  await until(isListed, { what: `dockerd of host ${host.number} has ${name}` });
}

export async function untilGone(host: DockerClusterHost, name: string): Promise<void> {
  const isGone = async () => !(await dockerNetworks(host)).includes(name);
  await until(isGone, { what: `dockerd of host ${host.number} has no ${name}` });
}

export async function untilStarts({ host }: DockerClusterHost, name: string): Promise<void> {
  const starts = async () => (await tryDocker(host, `start ${name}`)).exitCode === 0;
  await until(starts, { what: `${name} starts`, timeoutMs: 15_000 });
}

/** Whether a container reaches another by its name. */
export async function pings(from: Container, name: string): Promise<boolean> {
  return (await from.exec(["ping", "-c1", "-W1", name], { reject: false })).exitCode === 0;
}

export function untilPings(from: Container, name: string): Promise<unknown> {
  return until(() => pings(from, name), { what: `${name} is reached` });
}

/** Waits until the store has so many endpoints, with an address of each of these families, and no other address. */
export async function untilStored(lab: ClusterLab, endpoints: number, families = 1): Promise<void> {
  const count = async () =>
    [(await lab.endpoints()).length, (await lab.keys("taken/addresses")).length / families].join("/");
  await until(async () => (await count()) === `${endpoints}/${endpoints}`, {
    what: `the store has ${endpoints} endpoints and their addresses`,
    timeoutMs: 20_000, // six times as long is waited, and what dockerd never told is found within 91 s
  });
}
