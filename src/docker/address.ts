import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { errorCode, PontoonError } from "../../common/errors.js";

/** What a TLS connection to dockerd is made with; PEM texts. */
export interface TlsFiles {
  readonly folder: string;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  /** Whether dockerd's certificate must be one of `ca`, or of the system's when there is none. */
  readonly verify: boolean;
}

/** How a dockerd is reached. */
export type DockerAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly tls: TlsFiles | undefined }
  /** `ssh` runs `docker system dial-stdio` there, as the docker command does. */
  | {
      readonly kind: "ssh";
      readonly user: string | undefined;
      readonly host: string;
      readonly port: number | undefined;
      readonly socket: string | undefined;
    };

type Environment = Readonly<Record<string, string | undefined>>;

const plainPort = 2375;
const tlsPort = 2376;
const forms = "write unix:///path/docker.sock, tcp://host:port or ssh://user@host";

/**
 * Reads what DOCKER_HOST may hold, with the meaning the docker command gives it, DOCKER_TLS_VERIFY, DOCKER_TLS and
 * DOCKER_CERT_PATH included; a path alone is a unix socket.
 * Throws DOCKER_HOST_INVALID or DOCKER_CERTIFICATES.
 */
export function parseDockerAddress(text: string, environment: Environment): DockerAddress {
  const invalid = (why: string) => new PontoonError("DOCKER_HOST_INVALID", text, `--docker ${text}: ${why}`);
  if (text.startsWith("/")) return { kind: "unix", path: text };
  const [scheme, rest] = schemeOf(text);
  switch (scheme) {
    case "unix":
      if (!rest.startsWith("/"))
        throw invalid("a unix socket is named by its full path; write unix:///path/docker.sock");
      return { kind: "unix", path: rest };
    case "tcp":
    case "http":
    case "https":
      return tcpAddress(scheme, rest, environment, invalid);
    case "ssh":
      return sshAddress(text, invalid);
    case "npipe":
      throw invalid(`named pipes exist on Windows only; ${forms}`);
    case "fd":
      throw invalid(`fd:// is where dockerd listens, not where it is reached; ${forms}`);
    default:
      throw invalid(`not an address of a dockerd; ${forms}`);
  }
}

/** `host:port` alone is TCP, as for the docker command. */
function schemeOf(text: string): [scheme: string, rest: string] {
  const match = /^([a-z]+):\/\/(.*)$/i.exec(text);
  if (match) return [match[1]!.toLowerCase(), match[2]!];
  return /^[^/\s]*:\d+$/.test(text) ? ["tcp", text] : ["", text];
}

function tcpAddress(
  scheme: string,
  rest: string,
  environment: Environment,
  invalid: (why: string) => PontoonError,
): DockerAddress {
  const match = /^(\[[0-9a-f:.%]+\]|[^:/\s@]*)(?::(\d+))?(\/.*)?$/i.exec(rest);
  if (!match) throw invalid("not a host and a port; write tcp://host:port, an IPv6 address in brackets");
  const [, host = "", port, path = ""] = match;
  if (path !== "" && path !== "/") throw invalid(`a path (${path}) is not supported; write tcp://host:port`);
  if (port !== undefined && !isPort(Number(port)))
    throw invalid(`${port} is not a port; write a number from 1 to 65535`);
  const tls = scheme === "http" ? undefined : tlsFiles(scheme === "https", environment);
  return {
    kind: "tcp",
    host: host.replace(/^\[|\]$/g, "") || "127.0.0.1",
    port: port === undefined ? (tls ? tlsPort : plainPort) : Number(port),
    tls,
  };
}

function sshAddress(text: string, invalid: (why: string) => PontoonError): DockerAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || url.hostname === "" || url.hostname.startsWith("-"))
    throw invalid("names no host; write ssh://user@host or ssh://user@host:port");
  if (url.password !== "") throw invalid("a password cannot be given here; give ssh a key for that user");
  if (url.search !== "" || url.hash !== "")
    throw invalid("has more than a user, a host, a port and a socket's path; write ssh://user@host");
  const user = decodeURIComponent(url.username);
  if (user.startsWith("-")) throw invalid(`${user} is not a user; write ssh://user@host`);
  return {
    kind: "ssh",
    user: user === "" ? undefined : user,
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? undefined : Number(url.port),
    socket: url.pathname === "" || url.pathname === "/" ? undefined : url.pathname,
  };
}

function isPort(port: number): boolean {
  return port >= 1 && port <= 65535;
}

/** @returns undefined when the connection is to be plain */
function tlsFiles(required: boolean, environment: Environment): TlsFiles | undefined {
  const verify = required || isSet(environment.DOCKER_TLS_VERIFY);
  if (!verify && !isSet(environment.DOCKER_TLS)) return undefined;
  const folder = environment.DOCKER_CERT_PATH || environment.DOCKER_CONFIG || join(homedir(), ".docker");
  const read = (name: string) => readCertificate(folder, name);
  const files = { folder, ca: read("ca.pem"), cert: read("cert.pem"), key: read("key.pem"), verify };
  if (isSet(environment.DOCKER_TLS_VERIFY) && files.ca === undefined)
    throw certificateProblem(
      folder,
      "ca.pem",
      "is not there",
      "copy the certificate of the CA that signed dockerd's there",
    );
  if ((files.cert === undefined) !== (files.key === undefined))
    throw certificateProblem(
      folder,
      files.cert === undefined ? "cert.pem" : "key.pem",
      "is not there, but its other half is",
      "copy both, or neither",
    );
  return files;
}

function readCertificate(folder: string, name: string): string | undefined {
  try {
    return readFileSync(join(folder, name), "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw certificateProblem(
      folder,
      name,
      `cannot be read (${errorCode(error) ?? "unknown error"})`,
      "check its permissions",
    );
  }
}

function certificateProblem(folder: string, name: string, problem: string, remedy: string): PontoonError {
  const path = join(folder, name);
  return new PontoonError(
    "DOCKER_CERTIFICATES",
    path,
    `${path} ${problem}; ${remedy}, or name another folder with DOCKER_CERT_PATH`,
  );
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== "";
}
