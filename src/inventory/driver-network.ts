// A network of Docker's as its driver looks at it: with options, pools and every endpoint.

/** A network of Docker's, whatever its driver. */
export interface DriverNetwork {
  readonly id: string;
  readonly name: string;
  readonly driver: string;
  readonly ipamDriver: string;
  readonly internal: boolean;
  readonly ipv6: boolean;
  readonly options: Readonly<Record<string, string>>;
  readonly pools: readonly {
    readonly subnet: string;
    readonly ipRange: string | undefined;
    readonly gateway: string | undefined;
    readonly auxiliary: readonly string[];
  }[];
  readonly endpoints: readonly DriverEndpoint[];
}

/** A container's place on it, also of one that is just starting. */
export interface DriverEndpoint {
  readonly id: string;
  /** Undefined while the container is starting, and of one that a crash of dockerd's has left. */
  readonly container: string | undefined;
  /** Name of the container. */
  readonly name: string;
  readonly mac: string;
  /** Without prefixes; undefined for none. */
  readonly ipv4: string | undefined;
  readonly ipv6: string | undefined;
}

/** A network that dockerd is to make. */
export interface NewDockerNetwork extends Omit<DriverNetwork, "id" | "endpoints" | "pools"> {
  readonly ipamOptions: Readonly<Record<string, string>>;
  readonly pools: readonly {
    readonly subnet: string;
    readonly gateway: string;
    readonly ipRange: string | undefined;
  }[];
}
