// Plays dockerd towards its docker-proxies: starts one for each mapping, with the verdict on descriptor 3, and ends them.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import type { Readable } from "node:stream";
import { answerRequests } from "../../integration/lab/helper-child.js";
import { raiseDescriptorLimit } from "../../linux/privileges.js";

/** What one docker-proxy is started for. */
export interface Mapping {
  readonly protocol: "tcp" | "udp";
  readonly hostIp: string;
  readonly hostPort: number;
  readonly containerIp: string;
  readonly containerPort: number;
}

export type DockerProxiesRequest =
  | {
      readonly do: "publish";
      readonly program: string;
      readonly env: Readonly<Record<string, string>>;
      readonly mappings: readonly Mapping[];
    }
  /** Ends all, as dockerd does when a container stops. */
  | { readonly do: "withdraw" };

export interface DockerProxiesReply {
  /** Process ids of all that run. */
  readonly pids: readonly number[];
}

const children = new Set<ChildProcess>();

raiseDescriptorLimit();
answerRequests(async (request: DockerProxiesRequest): Promise<DockerProxiesReply> => {
  if (request.do === "withdraw") await withdraw();
  // One after the other, as dockerd does.
  else for (const mapping of request.mappings) await publish(request.program, request.env, mapping);
  return { pids: [...children].map(({ pid }) => pid!) };
});

async function publish(
  program: string,
  env: Readonly<Record<string, string>>,
  { protocol, hostIp, hostPort, containerIp, containerPort }: Mapping,
): Promise<void> {
  const host = ["-host-ip", hostIp, "-host-port", String(hostPort)];
  const container = ["-container-ip", containerIp, "-container-port", String(containerPort)];
  // Not by execa, as in all that is measured: nothing but the program itself is to be started and counted.
  const child = spawn(program, ["-proto", protocol, ...host, ...container], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", "ignore", "pipe"],
    cwd: "/",
  });
  child.on("exit", () => children.delete(child));
  const verdict = await text(child.stdio[3] as Readable);
  if (verdict !== "0\n") throw new Error(`${program} for port ${hostPort} of ${hostIp}: ${verdict.slice(2)}`);
  children.add(child);
}

async function withdraw(): Promise<void> {
  const ends = [...children].map((child) => once(child, "exit"));
  for (const child of children) child.kill("SIGINT");
  await Promise.all(ends);
}
