import type { TcpConnection } from "./tcp-connection.js";

/** The connections of one publication that went on elsewhere. */
export interface HandedOver {
  /** Those that are still open. */
  readonly size: number;
  /** Bytes that passed since they were handed over. */
  readonly counters: { readonly bytesToContainer: number; readonly bytesToClients: number };
  /** @returns false when it was not taken, and stays where it is */
  take(connection: TcpConnection): boolean;
  /** Resets those to certain addresses. */
  endTo(addresses: ReadonlySet<string>): void;
  /** Resets those that are open. */
  end(): void;
}

/** Who takes connections that move much, so that they cost the others no latency. */
export interface BulkTaker {
  /** For a new publication. @param onGone called for each connection that has ended */
  begin(halfClosedIdleMs: number, onGone: () => void): HandedOver;
}

/** For a proxy without bulk workers: connections stay where they began. */
export const noBulkTaker: BulkTaker = {
  begin: () => ({
    size: 0,
    counters: { bytesToContainer: 0, bytesToClients: 0 },
    take: () => false,
    endTo: () => undefined,
    end: () => undefined,
  }),
};
