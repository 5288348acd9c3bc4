// The command line of docker-proxy as Go's flag package reads it, for the TypeScript entry; `shim/flags.c` is the same in C.
import { isIPv4 } from "node:net";
import { isAddress, unspecified } from "../../common/address.js";

/** What dockerd asks for, unchecked. */
export interface Flags {
  readonly proto: string;
  readonly "host-ip": string;
  readonly "host-port": bigint;
  readonly "container-ip": string;
  readonly "container-port": bigint;
  readonly "use-listen-fd": boolean;
  readonly v: boolean;
  readonly version: boolean;
}

export type ParsedFlags =
  | { readonly kind: "flags"; readonly flags: Flags }
  /** Wrong usage, or -h: what to print on stderr above the usage, and the exit code. */
  | { readonly kind: "usage"; readonly problem: string; readonly exitCode: number };

const defaults: Flags = {
  proto: "tcp",
  "host-ip": "0.0.0.0",
  "host-port": -1n,
  "container-ip": "0.0.0.0",
  "container-port": -1n,
  "use-listen-fd": false,
  v: false,
  version: false,
};

/** The usage, without its first line. */
export const usage = `  -container-ip string
    	container ip (default "0.0.0.0")
  -container-port int
    	container port (default -1)
  -host-ip string
    	host ip (default "0.0.0.0")
  -host-port int
    	host port (default -1)
  -proto string
    	proxy protocol (default "tcp")
  -use-listen-fd
    	use a supplied listen fd
  -v	print version information and quit
  -version
    	print version information and quit
`;

class UsageError extends Error {}

/** Reads the arguments after the program's name. */
export function parseFlags(args: readonly string[]): ParsedFlags {
  const flags: Record<string, string | bigint | boolean> = { ...defaults };
  try {
    for (let index = 0; index < args.length; index++) {
      const word = args[index]!;
      if (!/^-./.test(word) || word === "--") break;
      const found = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(word);
      if (!found) throw new UsageError(`bad flag syntax: ${word}`);
      const [, name, value] = found as unknown as [string, string, string | undefined];
      if (!Object.hasOwn(defaults, name)) {
        if (name === "h" || name === "help") return { kind: "usage", problem: "", exitCode: 0 };
        throw new UsageError(`flag provided but not defined: -${name}`);
      }
      const isBoolean = typeof flags[name] === "boolean";
      const given = value ?? (isBoolean ? "true" : args[++index]);
      if (given === undefined) throw new UsageError(`flag needs an argument: -${name}`);
      flags[name] = isBoolean
        ? parseBoolean(name, given)
        : typeof flags[name] === "bigint"
          ? parseInteger(name, given)
          : given;
    }
    return { kind: "flags", flags: flags as unknown as Flags };
  } catch (error) {
    if (error instanceof UsageError) return { kind: "usage", problem: `${error.message}\n`, exitCode: 2 };
    throw error;
  }
}

/** An address as Go's net.ParseIP takes it: IPv4 mapped into IPv6 is IPv4. @returns undefined if it is not an address */
export function parseAddress(text: string): string | undefined {
  if (text === "") return unspecified.ipv4;
  const plain = text.replace(/^::ffff:/i, "");
  if (isIPv4(plain)) return plain;
  return isAddress(text) ? text : undefined;
}

/** strconv.ParseBool. */
function parseBoolean(name: string, text: string): boolean {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(text)) return false;
  throw new UsageError(`invalid boolean value "${text}" for -${name}: parse error`);
}

/** strconv.ParseInt(text, 0, 64). */
function parseInteger(name: string, text: string): bigint {
  const [, sign, prefix, digits] = /^([+-]?)(0[xXbBoO]|0(?=.))?(.+)$/.exec(text) ?? [];
  const radix = ({ x: "0x", b: "0b", o: "0o", "": "0o" } as Record<string, string>)[
    (prefix ?? "").slice(1).toLowerCase()
  ];
  try {
    if (digits === undefined || !/^[0-9a-fA-F_]+$/.test(digits)) throw new SyntaxError();
    const value = BigInt((prefix === undefined ? "" : radix!) + digits.replaceAll("_", ""));
    if (value >= 1n << 63n) throw new UsageError(`invalid value "${text}" for flag -${name}: value out of range`);
    return sign === "-" ? -value : value;
  } catch (error) {
    if (error instanceof SyntaxError) throw new UsageError(`invalid value "${text}" for flag -${name}: parse error`);
    throw error;
  }
}

/** Error texts as Go has them, since people search for those. */
export function goErrorText(code: string): string {
  return (
    {
      EADDRINUSE: "address already in use",
      EADDRNOTAVAIL: "cannot assign requested address",
      EACCES: "permission denied",
      EAFNOSUPPORT: "address family not supported by protocol",
      EMFILE: "too many open files",
      ENFILE: "too many open files in system",
      ENOBUFS: "no buffer space available",
    }[code] ?? code
  );
}
