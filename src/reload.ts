import type { Config } from "./config.js";

/** Keys that count as soon as the configuration has been read again. Any other counts from the next start on. */
const live: ReadonlySet<string> = new Set([
  "log-level",
  "dns.ttl",
  "dns.query-log",
  "dns.cache-size",
  "dns.single-label",
  "dns.forward-from",
  "dns.orphan-after",
  "dns.patience",
  "dns.share-answers",
]);

/** A configuration that was read again, and what of it is new. */
export interface Reloaded {
  /** What runs from now on. */
  readonly config: Config;
  /** Names of changed keys, as `dns.ttl`. */
  readonly applied: readonly string[];
  /** Names of keys that are not as they were at the start, and count from the next one on. */
  readonly atNextStart: readonly string[];
}

/**
 * @param running the configuration that counts now
 * @param read what the file says now
 */
export function reload(running: Config, read: Config): Reloaded {
  const applied: string[] = [];
  const atNextStart: string[] = [];
  const config = merge(running, read, "", (name) => {
    (live.has(name) ? applied : atNextStart).push(name);
    return live.has(name);
  });
  return { config, applied, atNextStart };
}

/** @param takes whether the value that was read is taken of a key for which there are two */
function merge<Group extends object>(
  running: Group,
  read: Group,
  prefix: string,
  takes: (name: string) => boolean,
): Group {
  const [mine, theirs] = [new Map(Object.entries(running)), new Map(Object.entries(read))] as Map<string, unknown>[];
  const names = new Set([...mine!.keys(), ...theirs!.keys()]);
  const merged = [...names].map((name): [string, unknown] => {
    const [one, other] = [mine!.get(name), theirs!.get(name)];
    if (isGroup(one) && isGroup(other)) return [name, merge(one, other, `${prefix}${name}.`, takes)];
    return [name, JSON.stringify(one) !== JSON.stringify(other) && takes(`${prefix}${name}`) ? other : one];
  });
  return Object.fromEntries(merged) as Group;
}

function isGroup(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
