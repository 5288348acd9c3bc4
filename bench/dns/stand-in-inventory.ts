// Containers and networks as the inventory holds them, made up rather than seen at a dockerd.
import type { Container, Network, SandboxPlace } from "../../src/inventory/types.js";

/** One made-up container on some of the networks. */
export interface Made {
  readonly name: string;
  readonly number: number;
  readonly networks: readonly number[];
  readonly sandbox?: SandboxPlace;
}

/** A user-defined network by its number. */
export function madeNetwork(number: number): Network {
  return {
    source: "docker",
    id: madeId("a", number),
    name: networkName(number),
    driver: "bridge",
    internal: false,
    predefined: false,
    shared: false,
  };
}

/** A running container, with the id of its place; without a sandbox it has names, but nobody answers it. */
export function madeContainer({ name, number, networks, sandbox }: Made): Container {
  const id = sandbox?.id ?? madeId("c", number);
  return {
    source: "docker",
    id,
    name,
    hostname: id.slice(0, 12),
    labels: {},
    running: true,
    sandbox,
    networkMode: { kind: "own" },
    ports: [[8080, "tcp"]],
    published: [],
    dns: { servers: [], options: [], search: [] },
    endpoints: networks.map((network) => ({
      networkId: madeId("a", network),
      networkName: networkName(network),
      aliases: [id.slice(0, 12)],
      links: [],
      ...madeAddresses(number),
      hasGateway: { ipv4: true, ipv6: true },
      gatewayPriority: 0,
    })),
    hostsPath: "",
    resolvConfPath: "",
    legacyLinks: [],
    partial: false,
    excess: undefined,
  };
}

/** A container's addresses, the same on each of its networks. */
export function madeAddresses(number: number): { ipv4: string; ipv6: string } {
  const [high, middle, low] = [(number >> 16) & 0xff, (number >> 8) & 0xff, number & 0xff];
  return {
    ipv4: `10.${high}.${middle}.${low}`,
    ipv6: `fd00::${((number >> 16) + 1).toString(16)}:${(number & 0xffff).toString(16)}`,
  };
}

function networkName(number: number): string {
  return `net${number}`;
}

/** 64 hexadecimal digits, as Docker's ids have; the number stands in the first twelve, which are the short id. */
function madeId(kind: "a" | "c", number: number): string {
  return `${kind}${number.toString(16).padStart(11, "0")}`.padEnd(64, "0");
}
