import type { Transport } from "../inventory/types.js";

// What the control API takes and gives about published ports.

/** `POST /v1/ports/publish`. Answered with the rows that were published, in the order of the specs. */
export interface PublishRequest {
  /** Name, or id, or its beginning. */
  readonly container: string;
  /** Docker's `-p` syntax. */
  readonly specs: readonly string[];
  /** Publish every exposed port on a free one, as Docker's `-P` does. */
  readonly all?: boolean;
  /** For specs that name no address; instead of the configuration's. */
  readonly ip?: string;
  readonly options?: {
    readonly proxyProtocol?: "v1" | "v2";
    readonly acceptProxyProtocolFrom?: readonly string[];
    readonly allowFrom?: readonly string[];
    readonly maxConnections?: number;
    /** Ms. */
    readonly drainMs?: number;
    readonly connectTimeoutMs?: number;
    readonly udpIdleMs?: number;
  };
}

/** `POST /v1/ports/unpublish`. Answered with the rows that are gone. */
export interface UnpublishRequest {
  readonly container: string;
  /** As given to publish, or only the container's side (`80`, `80/udp`); empty: everything `pontoon publish` published of it. */
  readonly specs: readonly string[];
}

/** One published port of the host: `GET /v1/ports`, sorted by container, container's port, transport, address. */
export interface PortRow {
  readonly container: string;
  readonly containerPort: number;
  readonly transport: Transport;
  readonly ip: string;
  readonly hostPort: number;
  readonly by: "docker" | "pontoon";
  readonly source: "docker" | "command" | "label";
  /**
   * `refusing`: the container is down; `failed`: not bound, for `reason`. Docker's own are `open`, or `failed` if they kept the
   * container from starting.
   */
  readonly state: "open" | "refusing" | "failed";
  /** Of an open port: why the last connection to the container failed, if one did. */
  readonly reason?: string;
  /** Address and port in the container, `172.18.0.2:80`. */
  readonly target?: string;
  /** Open connections, or UDP flows; unknown for what Docker's own docker-proxy serves. */
  readonly connections?: number;
  readonly accepted?: number;
  readonly refused?: number;
  readonly failedDials?: number;
  /** How often no source port was left towards the container. */
  readonly withoutSourcePort?: number;
  readonly bytesToContainer?: number;
  readonly bytesToClients?: number;
}
