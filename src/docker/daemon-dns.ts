import { readRegularFile } from "../../common/files.js";
import { aboutProcess, argumentsOf } from "../../linux/proc.js";
import { pathInRoot } from "./root-path.js";
import type { DaemonDns } from "./upstreams.js";

/** What is read of dockerd's command line, environment and configuration file, bytes. */
const textAtMost = 1024 * 1024;
/** Servers, and options; no resolver uses more. */
const entriesAtMost = 32;

/** How a dockerd was set up, as far as it matters to pontoon and its API does not tell. */
export interface DaemonSettings {
  readonly dns: DaemonDns;
  /** Whether Docker makes firewall rules on the host. */
  readonly iptables: boolean;
  readonly userlandProxy: boolean;
}

/**
 * What dockerd was told on its command line, else in its configuration file, as dockerd itself forbids both at once.
 * @param pid of dockerd; undefined when it is not known
 */
export async function daemonSettingsOf(pid: number | undefined): Promise<DaemonSettings> {
  const words = pid === undefined ? [] : argumentsOf(pid, textAtMost);
  const path = valuesOf(words, "--config-file")[0] ?? defaultConfigOf(pid);
  const config = parseObject(await readConfig(pid === undefined ? path : pathInRoot(`/proc/${pid}/root`, path)));
  const list = (flag: string, key: string) => {
    const given = valuesOf(words, flag);
    return (given.length > 0 ? given : stringsOf(config[key])).slice(0, entriesAtMost);
  };
  return {
    dns: { servers: list("--dns", "dns"), options: list("--dns-opt", "dns-opts") },
    iptables: isOn(words, "--iptables", config.iptables),
    userlandProxy: isOn(words, "--userland-proxy", config["userland-proxy"]),
  };
}

/** A rootless dockerd's file is in its user's home. */
function defaultConfigOf(pid: number | undefined): string {
  const variables = pid === undefined ? "" : (aboutProcess(pid, "environ", textAtMost) ?? "");
  const environment = new Map(
    variables.split("\0").map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)]),
  );
  if (!environment.has("_DOCKERD_ROOTLESS_CHILD")) return "/etc/docker/daemon.json";
  return `${environment.get("XDG_CONFIG_HOME") ?? `${environment.get("HOME") ?? ""}/.config`}/docker/daemon.json`;
}

/** dockerd's own `--dns` and `--dns-opt`, which its API does not tell (before 25). */
export async function daemonDnsOf(pid: number | undefined): Promise<DaemonDns> {
  return (await daemonSettingsOf(pid)).dns;
}

/** Values of a flag that may be given several times, as `--flag value` or `--flag=value`. */
export function valuesOf(words: readonly string[], flag: string): string[] {
  return words.flatMap((word, index) => {
    if (word.startsWith(`${flag}=`)) return [word.slice(flag.length + 1)];
    const next = words[index + 1];
    return word === flag && next !== undefined ? [next] : [];
  });
}

/** A switch that is on by default; on the command line its value stands behind `=`. */
function isOn(words: readonly string[], flag: string, inFile: unknown): boolean {
  const given = words.findLast((word) => word === flag || word.startsWith(`${flag}=`));
  if (given === undefined) return inFile !== false;
  return !/=(false|f|0)$/i.test(given);
}

/** A file that is too long is not JSON once it is cut, so it counts as missing. */
async function readConfig(path: string): Promise<string> {
  return readRegularFile(path, textAtMost, { followLink: true }).then(
    ({ text }) => text,
    () => "{}",
  );
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {}; // dockerd would not have started with it; it is being edited
  }
}

function stringsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}
