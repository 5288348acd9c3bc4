import type { TcpConnection } from "./tcp-connection.js";

/**
 * What became of a connection that was offered: it goes on elsewhere, somebody who takes it is being started, or nobody takes
 * it for now.
 */
export type Taken = "taken" | "soon" | "no";

/** The connections of one publication that went on elsewhere. */
export interface HandedOver {
  /** Those that are still open. */
  readonly size: number;
  /** Bytes that passed since they were handed over. */
  readonly counters: { readonly bytesToContainer: number; readonly bytesToClients: number };
  /** One that is not taken stays where it is, and may be offered again. */
  take(connection: TcpConnection): Taken;
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
    take: () => "no",
    endTo: () => undefined,
    end: () => undefined,
  }),
};
