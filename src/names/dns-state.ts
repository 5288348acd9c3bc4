import type { Report } from "../../dns/protocol.js";
import type { ServerState } from "../supervisor/supervisor.js";
import type { Decision } from "./records.js";
import type { Failure } from "./takeovers/failures.js";

/** Who answers where, and why: what of names is told with the status. */
export interface DnsState {
  readonly server: ServerState;
  /** By container. */
  readonly decisions: ReadonlyMap<string, Decision>;
  /** Why sandboxes are not taken over although they should be. */
  readonly failures: ReadonlyMap<string, Pick<Failure, "code" | "reason">>;
  /** Sandboxes that the server answers. */
  readonly answering: ReadonlySet<string>;
  /** A pontoon-dns of this run directory that this daemon does not steer: it observes, or has the role switched off. */
  readonly unsteered: number | undefined;
  /** Sandboxes in which a takeover is in effect that this daemon does not steer. */
  readonly takenOver: ReadonlySet<string>;
  /** undefined when there is no server to ask, or it does not answer */
  readonly report: Report | undefined;
}
