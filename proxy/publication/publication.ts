import { isIP } from "node:net";
import type { SocketAddress } from "../../common/address.js";
import { PontoonError } from "../../common/errors.js";
import { Networks } from "./networks.js";
import {
  defaults,
  optionNames,
  publicationOptions,
  type OptionKind,
  type OptionName,
  type PublicationOptions,
} from "./options.js";

export { defaults, type PublicationOptions } from "./options.js";

export type Protocol = "tcp" | "udp";

/** To whom a publication belongs: kept for the daemon that opened it, and given back to the next one. */
export interface PublicationOwner {
  readonly container: string;
  readonly containerPort: number;
  readonly source: "command" | "label" | "driver";
  readonly byDefault?: boolean | undefined;
  /** The container's place on a network that it leads to, if only to that. */
  readonly endpoint?:
    { readonly id: string; readonly ipv4?: string | undefined; readonly ipv6?: string | undefined } | undefined;
}

export interface Publication {
  /** Unique among those that are open. */
  readonly id: string;
  readonly protocol: Protocol;
  readonly listen: SocketAddress;
  /** Without one clients are refused. */
  readonly target?: SocketAddress | undefined;
  readonly options: PublicationOptions;
  /** Not used here: given back as it is. */
  readonly owner?: PublicationOwner | undefined;
}

/** Throws PUBLICATION_INVALID with what is wrong. @returns the options, complete */
export function checkPublication({ id, protocol, listen, target, options }: Publication): Required<PublicationOptions> {
  const wrong = (what: string) => new PontoonError("PUBLICATION_INVALID", id, `publication ${id}: ${what}`);
  for (const { ip, port } of target ? [listen, target] : [listen]) {
    if (isIP(ip) === 0) throw wrong(`${ip} is not an address`);
    if (!Number.isInteger(port) || port < 0 || port > 65535) throw wrong(`${port} is not a port`);
  }
  if (target?.port === 0) throw wrong("the container's port is missing");
  const complete = { ...defaults, ...options };
  for (const name of optionNames) {
    const fault = faultOfOption(name, complete[name], protocol);
    if (fault !== undefined) throw wrong(fault);
  }
  return complete;
}

function faultOfOption(name: OptionName, value: unknown, protocol: Protocol): string | undefined {
  const option: OptionKind = publicationOptions[name];
  if (protocol === "udp" && option.tcpOnly !== undefined && isChosen(option, value))
    return `${option.tcpOnly} is for TCP only`;
  switch (option.kind) {
    case "time":
    case "count":
      return faultOfNumber(name, value as number, option.mayBeZero);
    case "networks":
      return faultOfNetworks(name, value as readonly string[]);
    case "choice":
      return undefined; // whoever sent another word was not understood
  }
}

function isChosen(option: OptionKind, value: unknown): boolean {
  return option.kind === "networks" ? (value as readonly string[]).length > 0 : value !== option.default;
}

function faultOfNumber(name: string, value: number, mayBeZero: boolean): string | undefined {
  if (mayBeZero) return value >= 0 ? undefined : `${name} must not be less than 0: ${value}`;
  return value > 0 ? undefined : `${name} must be more than 0, not ${value}`;
}

function faultOfNetworks(name: string, networks: readonly string[]): string | undefined {
  try {
    new Networks(networks);
    return undefined;
  } catch (error) {
    return `${name}: ${(error as Error).message}`;
  }
}
