// The options of each command, as commander gives them.
import { flag, oneOf, optional, readerOf, record, text, type Fields, type Shape } from "../../common/shape.js";

/** Of every command that speaks with the daemon. */
export interface GlobalFlags {
  readonly runDir: string;
  readonly json?: boolean;
}

export interface CheckFlags extends GlobalFlags {
  readonly docker?: string;
  readonly config?: string;
  readonly stateDir?: string;
  readonly repair?: boolean;
}

export interface QueryFlags extends GlobalFlags {
  readonly as: string;
}

export interface TraceFlags extends GlobalFlags {
  readonly docker?: string;
  readonly probe?: boolean;
}

/** Those that choose something for what is published are in `publish-options.ts`. */
export interface PublishFlags {
  readonly all?: boolean;
  readonly ip?: string;
  readonly [flag: string]: unknown;
}

export interface PortFlags extends GlobalFlags {
  readonly long?: boolean;
}

export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;

export interface DaemonFlags {
  readonly docker?: string;
  readonly config?: string;
  readonly store?: string;
  readonly advertise?: string;
  readonly observe?: boolean;
  /** False with `--no-firewall`. */
  readonly firewall: boolean;
  readonly logLevel?: (typeof logLevels)[number];
  readonly runDir: string;
  readonly stateDir: string;
}

const words = text(Infinity);
const common = { runDir: words, json: optional(flag) };

export const globalFlags = flags<GlobalFlags>(common);
export const checkFlags = flags<CheckFlags>({
  ...common,
  docker: optional(words),
  config: optional(words),
  stateDir: optional(words),
  repair: optional(flag),
});
export const queryFlags = flags<QueryFlags>({ ...common, as: words });
export const traceFlags = flags<TraceFlags>({ ...common, docker: optional(words), probe: optional(flag) });
export const publishFlags = flags<GlobalFlags & PublishFlags>({ ...common, all: optional(flag), ip: optional(words) });
export const portFlags = flags<PortFlags>({ ...common, long: optional(flag) });
export const daemonFlags = flags<DaemonFlags>({
  docker: optional(words),
  store: optional(words),
  advertise: optional(words),
  config: optional(words),
  observe: optional(flag),
  firewall: flag,
  logLevel: optional(oneOf(...logLevels)),
  runDir: words,
  stateDir: words,
});

/** What commander checks, it checks with the person at the keyboard: anything else here is a mistake of ours. */
function flags<Flags>(fields: Fields<Flags> & Readonly<Record<string, Shape>>): (given: unknown) => Flags {
  const read = readerOf<Flags>(record<Flags>(fields));
  return (given) => {
    const understood = read(given);
    if (understood === undefined) throw new TypeError("the options of a command are not what it has declared");
    return understood;
  };
}
