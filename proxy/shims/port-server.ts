import type { SocketAddress } from "../../common/address.js";
import type { Protocol, Publication, PublicationOwner } from "../publication/publication.js";

/** What serves the ports; see `publications.ts`. `open` owns the descriptor once it has returned, and not if it throws. */
export interface PortServer {
  open(publication: Publication, descriptor: number): void;
  /** @param untilTheirEnd connections go on for as long as they like, rather than for a while */
  close(id: string, untilTheirEnd?: boolean): void;
  /** Closes it with its connections. */
  cutOff(id: string): void;
  /** Frees UDP ports that flows are sent from. */
  vacate(ports: ReadonlySet<number>): void;
  /** Whose publication keeps others from binding a port; undefined when none of a daemon's does. */
  ownerOf?(protocol: Protocol, listen: SocketAddress): PublicationOwner | undefined;
}
