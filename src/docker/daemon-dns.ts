import { readFile } from "node:fs/promises";
import type { DaemonDns } from "./upstreams.js";

const defaultConfig = "/etc/docker/daemon.json";

/**
 * dockerd's own `--dns` and `--dns-opt`, which its API does not tell (before 25): from its command line, else from
 * its configuration file, as dockerd itself forbids both at once.
 * @param pid of dockerd; undefined when it is not known
 */
export async function daemonDnsOf(pid: number | undefined): Promise<DaemonDns> {
  const words = pid === undefined ? [] : (await readOr(`/proc/${pid}/cmdline`, "")).split("\0");
  const servers = valuesOf(words, "--dns");
  const options = valuesOf(words, "--dns-opt");
  const path = valuesOf(words, "--config-file")[0] ?? defaultConfig;
  const config = parseObject(await readOr(pid === undefined ? path : `/proc/${pid}/root${path}`, "{}"));
  return {
    servers: servers.length > 0 ? servers : stringsOf(config.dns),
    options: options.length > 0 ? options : stringsOf(config["dns-opts"]),
  };
}

/** Values of a flag that may be given several times, as `--flag value` or `--flag=value`. */
export function valuesOf(words: readonly string[], flag: string): string[] {
  return words.flatMap((word, index) => {
    if (word.startsWith(`${flag}=`)) return [word.slice(flag.length + 1)];
    const next = words[index + 1];
    return word === flag && next !== undefined ? [next] : [];
  });
}

async function readOr(path: string, otherwise: string): Promise<string> {
  return readFile(path, "utf8").catch(() => otherwise); // no such file, or dockerd has just ended
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
