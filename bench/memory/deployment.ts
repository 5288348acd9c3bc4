import { join } from "node:path";
import { DockerHost, type Pontoon } from "../../integration/lab/index.js";
import { repositoryRoot } from "../../integration/lab/root.js";
import type { Undo } from "../lib/cleanup.js";
import { useOwnNode } from "../proxy/own-node.js";

const network = "app";
const firstPort = 20_000;
/** What containers serve, and what is asked of it. */
const service = ["httpd", "-f", "-p", "80", "-h", "/bin"];
const served = "busybox";

/** An unmodified dockerd with containers that have a published port each, with pontoon or with what Docker brings. */
export interface Deployment {
  readonly name: "pontoon" | "dockerd";
  readonly host: DockerHost;
  readonly pontoon?: Pontoon;
}

/** With pontoon: its daemon, its resolver in every container, its proxy behind every port. */
export async function deployPontoon(undo: Undo, containers: number): Promise<Deployment & { pontoon: Pontoon }> {
  const host = await DockerHost.start(undo, {
    dockerd: [`--userland-proxy-path=${join(repositoryRoot, "bin", "pontoon-docker-proxy")}`],
  });
  await useOwnNode({ run: (argv) => host.exec(argv) });
  const pontoon = await host.pontoon();
  await runContainers(host, containers);
  return { name: "pontoon", host, pontoon };
}

/** Without pontoon. */
export async function deployDockerd(undo: Undo, containers: number): Promise<Deployment> {
  const host = await DockerHost.start(undo);
  await runContainers(host, containers);
  return { name: "dockerd", host };
}

/** Starts containers, and has each port and each name be of use once. */
async function runContainers(host: DockerHost, count: number): Promise<void> {
  await host.network(network);
  const ports = Array.from({ length: count }, (_, index) => firstPort + index);
  for (const port of ports)
    await host.container({
      name: `c${port}`,
      networks: [network],
      options: [`--publish=${port}:80`],
      command: ["busybox", ...service],
    });
  const urls = ports.flatMap((port) => [`http://127.0.0.1:${port}/${served}`, `http://[::1]:${port}/${served}`]);
  const curl = [
    "curl",
    "--silent",
    "--show-error",
    "--fail-early",
    "--globoff",
    "--range",
    "0-9",
    "--output",
    "/dev/null",
  ];
  for (const url of urls) await host.exec([...curl, url], { timeoutMs: 30_000 });
  for (const port of ports) await host.exec(["docker", "exec", `c${port}`, "nslookup", "-type=a", `c${firstPort}`]);
}
