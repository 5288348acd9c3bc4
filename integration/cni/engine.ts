// Plays what container engines do: starts `pontoon-cni` as they do, and reads what it prints.
import { join } from "node:path";
import type { BareHost, CommandResult } from "../lab/index.js";
import { repositoryRoot } from "../lab/root.js";

export const pontoonCni = join(repositoryRoot, "bin", "pontoon-cni");

type Host = Pick<BareHost, "exec">;

/** Environment of a call of CNI's, without what stands for all of them. */
export interface CniEnvironment {
  readonly container?: string;
  readonly netns?: string;
  readonly ifname?: string;
  readonly args?: string;
}

/** What a plugin of CNI printed, as JSON; {} for nothing. */
export interface CniAnswer {
  readonly exitCode: number;
  readonly answer: Record<string, unknown>;
}

/** Calls the plugin as a runtime does. @param config what it adds to the conflist's own */
export async function callCni(
  host: Host,
  command: string,
  { container = "c1", netns = "", ifname = "eth0", args = "" }: CniEnvironment = {},
  config: object = {},
): Promise<CniAnswer> {
  const env = [
    `CNI_COMMAND=${command}`,
    `CNI_CONTAINERID=${container}`,
    `CNI_NETNS=${netns}`,
    `CNI_IFNAME=${ifname}`,
    `CNI_ARGS=${args}`,
    "CNI_PATH=/opt/cni/bin",
  ];
  const own = { cniVersion: "1.1.0", name: "shop", type: "pontoon", network: "front" };
  return read(
    await host.exec(["env", ...env, pontoonCni], { input: JSON.stringify({ ...own, ...config }), reject: false }),
  );
}

/** Calls the plugin as netavark does, or podman. */
export async function callNetavark(host: Host, argv: readonly string[], input: object): Promise<CniAnswer> {
  return read(await host.exec([pontoonCni, ...argv], { input: JSON.stringify(input), reject: false }));
}

function read({ exitCode, stdout, stderr }: CommandResult): CniAnswer {
  if (stderr !== "") throw new Error(`pontoon-cni: ${stderr}`);
  return { exitCode, answer: stdout === "" ? {} : (JSON.parse(stdout) as Record<string, unknown>) };
}

/** Makes network namespaces, as runtimes do before they call a plugin. @returns their paths */
export async function makeNamespaces(host: Host, ...names: readonly string[]): Promise<string[]> {
  for (const name of names) await host.exec(["ip", "netns", "add", name]);
  return names.map((name) => `/run/netns/${name}`);
}

/** What a program in a namespace prints, which is to be answered by the resolver of its network. */
export function insideOf(host: Host, netns: string, line: string): Promise<CommandResult> {
  return host.exec(["nsenter", `--net=${netns}`, "--", ...line.split(" ")], { reject: false });
}

/** The address that a name has in a namespace, asked at 127.0.0.11; undefined for none. */
export async function addressOf(host: Host, netns: string, name: string): Promise<string | undefined> {
  const { stdout } = await insideOf(host, netns, `dig +short +tries=1 +time=2 @127.0.0.11 ${name} A`);
  return stdout.split("\n").find((line) => line !== "" && !line.startsWith(";")); // behind which dig tells its troubles
}
