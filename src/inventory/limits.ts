/**
 * How much is kept of one container: far more than containers have. One that has more is left to Docker,
 * so that nobody else waits for it.
 */
export const limits = {
  networks: 512,
  /** Of one network. */
  subnets: 64,
  /** Of one container on one network, its own and its aliases, and on all its networks together. */
  namesOnNetwork: 1000,
  names: 10_000,
  /** `--link`, on all networks together. */
  links: 1000,
  /** Exposed ports, counted once for each network. */
  exposedPorts: 40_000,
  /** Each of `--dns`, `--dns-option`, `--dns-search`. */
  dnsSettings: 64,
} as const;

/** Characters of the longest name DNS can ask for (RFC 1035 section 2.3.4). */
export const nameLength = 253;
