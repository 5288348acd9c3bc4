import type { SocketAddress } from "../../common/address.js";
import type { Protocol } from "./publication.js";

/** What has happened on a publication since it was opened. */
export interface PublicationReport {
  readonly id: string;
  readonly protocol: Protocol;
  readonly listen: SocketAddress;
  readonly target: SocketAddress | undefined;
  /** Open connections, or flows. */
  readonly connections: number;
  /** Connections taken, or flows begun. */
  readonly accepted: number;
  /** Clients turned away: not allowed, no valid PROXY header; for UDP, datagrams dropped. */
  readonly refused: number;
  /** Connections the container did not take; for UDP, errors that came back. */
  readonly failedDials: number;
  /**
   * Connections of these that failed since no source port was left towards the container. Flows that are sent from a port
   * outside their range, since none in it was left.
   */
  readonly withoutSourcePort: number;
  /** Why the last of these failed: the name of an errno, such as ECONNREFUSED. */
  readonly dialFailure?: string | undefined;
  readonly bytesToContainer: number;
  readonly bytesToClients: number;
}

/** What serves one publication. */
export interface Relay {
  /** @param target undefined: clients are refused at once until there is one again */
  retarget(target: SocketAddress | undefined): void;
  /**
   * Takes no more clients; connections that are open may go on.
   * @param onDrained called once, when the last is gone, not from inside this call
   * @param untilTheirEnd the publication has not ended, only this serving of it: whoever was taken in is still passed on to the container
   */
  drain(onDrained: () => void, untilTheirEnd: boolean): void;
  /** Ends at once what leads to addresses that no container has any more. They may be another one's by now. */
  gone(addresses: ReadonlySet<string>): void;
  /** Ends everything at once. */
  destroy(): void;
  report(): PublicationReport;
  /** Gives up what has a port of the host as its source that somebody else wants. UDP only: TCP shares its own. */
  vacate(ports: ReadonlySet<number>): void;
}

/** Counters behind a report. */
export interface Counters {
  accepted: number;
  refused: number;
  withoutSourcePort: number;
  bytesToContainer: number;
  bytesToClients: number;
}

export const noCounters = (): Counters => ({
  accepted: 0,
  refused: 0,
  withoutSourcePort: 0,
  bytesToContainer: 0,
  bytesToClients: 0,
});
