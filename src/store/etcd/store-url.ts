import { isIP } from "node:net";
import { PontoonError } from "../../../common/errors.js";

/** Where a member of etcd answers clients. */
export interface Endpoint {
  /** A name or an address, of IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

const scheme = "etcd://";
const defaultPort = 2379;
/** etcd's own advice is seven members at most. */
const endpointsAtMost = 16;

/** Reads `etcd://A:2379,[2001:db8::1]:2379`. Throws STORE_URL_WRONG. */
export function parseStoreUrl(url: string): readonly Endpoint[] {
  const wrong = (why: string): PontoonError =>
    new PontoonError("STORE_URL_WRONG", url, `${url} names no store: ${why}; write etcd://HOST:PORT,HOST:PORT`);
  if (!url.startsWith(scheme)) throw wrong(`it does not begin with ${scheme}`);
  const parts = url.slice(scheme.length).replace(/\/$/, "").split(",");
  if (parts.length > endpointsAtMost) throw wrong(`it has more than ${endpointsAtMost} members`);
  const endpoints = parts.map((part) => parseEndpoint(part, wrong));
  const names = endpoints.map(endpointName);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw wrong(`${twice} is in it twice`);
  return endpoints;
}

/** An endpoint as users write it. */
export function endpointName({ host, port }: Endpoint): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function parseEndpoint(part: string, wrong: (why: string) => PontoonError): Endpoint {
  if (part === "") throw wrong("a member is missing");
  if (part.includes("@")) throw wrong("a user and a password belong into the configuration file");
  const bracketed = /^\[([^\]]*)\](?::(\d*))?$/.exec(part);
  const plain = /^([^:[\]]+)(?::(\d*))?$/.exec(part);
  const [, host, port] = bracketed ?? plain ?? [];
  if (host === undefined)
    throw wrong(isIP(part) === 6 ? `the IPv6 address ${part} needs brackets` : `${part} is no HOST:PORT`);
  if (bracketed ? isIP(host) !== 6 : !/^[A-Za-z0-9_.-]+$/.test(host))
    throw wrong(`${host} is no ${bracketed ? "IPv6 address" : "name or address"}`);
  return { host, port: port === undefined ? defaultPort : parsePort(port, wrong) };
}

function parsePort(text: string, wrong: (why: string) => PontoonError): number {
  const port = Number(text);
  if (text === "" || port < 1 || port > 65_535) throw wrong(`${text === "" ? "nothing" : text} is no port`);
  return port;
}
