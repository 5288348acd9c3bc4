// What tests of Docker's driver pontoon share.
import type { Test } from "tap";
import { until, type CommandResult, type DockerHost, type Pontoon } from "../lab/index.js";

/** `docker …`, words separated by one space. Rejects when it fails. */
export async function docker(host: DockerHost, words: string): Promise<string> {
  return (await host.exec(["docker", ...words.split(" ")])).stdout.trim();
}

/** As {@link docker}, whatever comes of it. */
export function tryDocker(host: DockerHost, words: string): Promise<CommandResult> {
  return host.exec(["docker", ...words.split(" ")], { reject: false });
}

/** What the driver leaves on a host: links, tables, published ports; empty lines left out. */
export async function remains(host: DockerHost, pontoon: Pontoon): Promise<string[]> {
  const links = await host.exec(["ip", "-o", "link"]);
  const rules = await host.exec(["nft", "list", "ruleset"]);
  const ports = await pontoon.cli("port");
  return [
    ...links.stdout.split("\n").filter((line) => /\b(pt-|ptv|pts|ptc|ptx)/.test(line)),
    ...rules.stdout.split("\n").filter((line) => line.includes("pontoon")),
    ...ports.stdout.split("\n").filter((line) => line.includes("->")),
  ];
}

/** Bytes of a page that a container serves on a port of the host; undefined when it does not. */
export async function page(host: DockerHost, url: string): Promise<string | undefined> {
  const { stdout, exitCode } = await host.exec(["curl", "-s", "-m", "3", url], { reject: false });
  return exitCode === 0 ? stdout.trim() : undefined;
}

/** Waits until the driver has left nothing, and tells what it has left otherwise. What dockerd never told is found within 91 s. */
export async function nothingRemains(t: Test, host: DockerHost, pontoon: Pontoon, timeoutMs = 5000): Promise<void> {
  let left: string[] = [];
  const isClean = async () => (left = await remains(host, pontoon)).length === 0;
  await until(isClean, { what: "nothing remains", timeoutMs }).catch(() => undefined);
  t.same(left, [], "nothing remains");
}
