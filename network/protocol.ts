import type { LinkAccept } from "./firewall/wanted.js";
import type { ForwardChanges } from "./firewall/firewall.js";
import type {
  NeighbourChange,
  WantedEndpoint,
  WantedHandover,
  WantedNetwork,
  WantedSandbox,
  WantedTunnel,
} from "./wanted.js";
import type { ObjectRef } from "./plan/steps.js";

// What the daemon and the backend's thread say to each other.

/** What counts for as long as the backend's thread is there. */
export interface BackendSettings {
  /** Whether the host may be made to forward. */
  readonly mayForward: boolean;
}

/** What is wanted otherwise from now on. */
export interface Change {
  /** All there are from now on. Left out: as before. */
  readonly links?: readonly LinkAccept[];
  /** Bridges of Docker's networks, by whatever names, as far as Docker has told. Left out: as before. */
  readonly dockerBridges?: readonly string[];
  readonly networks?: readonly WantedNetwork[];
  readonly sandboxes?: readonly WantedSandbox[];
  readonly endpoints?: readonly WantedEndpoint[];
  readonly handovers?: readonly WantedHandover[];
  /** Ids of what is not wanted any more. */
  readonly removed?: {
    readonly networks?: readonly string[];
    readonly sandboxes?: readonly string[];
    readonly endpoints?: readonly string[];
    readonly handovers?: readonly string[];
  };
}

export type Request =
  | { readonly kind: "change"; readonly change: Change }
  /**
   * Looks at everything, and mends it; what carries an alias of ours and is not wanted is removed. Handovers that are not there
   * are told, and not made.
   */
  | { readonly kind: "repair"; readonly handovers: readonly WantedHandover[] }
  /** The engine has told of all it has: what was made for it and is not wanted is removed. */
  | { readonly kind: "sweep" }
  /** What was put off is done now. */
  | { readonly kind: "finish" }
  /** Namespaces of these sandboxes may have come, gone, or be others: what is there is connected, nothing is made. */
  | { readonly kind: "look"; readonly sandboxes: readonly string[] }
  /** Ports that the kernel forwards. */
  | { readonly kind: "forwards"; readonly changes: ForwardChanges }
  /** Somebody has changed queues of links: those of endpoints whose rate is limited are looked at, and put back. */
  | { readonly kind: "mend-queues" }
  /** Links of the host may have gone down or come: what they are to answer for is looked at, and put back. */
  | { readonly kind: "mend-proxies" }
  /** Somebody has changed rules of the host: ours are looked at, and put back. */
  | { readonly kind: "mend-firewall" }
  /** Somebody has taken links or addresses away: what is wanted is put back. */
  | { readonly kind: "mend-links" }
  /**
   * Endpoints of overlay networks that are on other hosts have come, gone or moved. Kept for as long as the network is wanted, or
   * until it is; `steps` of the outcome tells how many entries of the kernel's were written.
   */
  | { readonly kind: "neighbours"; readonly changes: readonly NeighbourChange[] }
  /** How encrypted networks get to other hosts from now on; undefined: not at all. The link is made with the first such network. */
  | { readonly kind: "tunnel"; readonly tunnel: WantedTunnel | undefined }
  /** The kernel's entries for such endpoints, and the tunnel, are compared with what is wanted, and mended; `steps` tells how many differed. */
  | { readonly kind: "mend-neighbours" };

export interface ToBackend {
  readonly id: number;
  readonly request: Request;
}

/** Why an object is not as it is wanted. */
export interface Failure {
  readonly object: ObjectRef;
  readonly code: string;
  readonly subject: string;
  readonly message: string;
}

/** What the backend has in firewall tables of others. */
export interface Elsewhere {
  /** Chains where a rule of ours stands, `ip filter DOCKER-USER`. */
  readonly rules: readonly string[];
  /** Why there is none where one ought to be, in words. */
  readonly troubles: readonly string[];
  /** Tells one load of firewalld's rules from another; undefined where there are none. */
  readonly firewalld?: string;
}

/** What a request has come to. */
export interface Outcome {
  readonly failures: readonly Failure[];
  /** Namespaces of sandboxes that were looked at, by inode; 0 for one that is not there. */
  readonly inodes: ReadonlyMap<string, number>;
  /** How many steps it took. */
  readonly steps: number;
  /** Left out: as before. */
  readonly elsewhere?: Elsewhere;
  /** What was changed on the host beyond what was asked for, in words for the log. */
  readonly notes: readonly string[];
}

export type FromBackend =
  | { readonly kind: "outcome"; readonly id: number; readonly outcome: Outcome }
  /** Something unforeseen: the request has come to nothing. */
  | { readonly kind: "fault"; readonly id: number; readonly code: string | undefined; readonly message: string }
  /** Somebody has changed rules of the host of which no news tells. */
  | { readonly kind: "rules-changed" }
  /** Links or addresses of networks were taken away, or the parent of one is there again. */
  | { readonly kind: "links-changed" }
  /** What was to be done later has failed. */
  | { readonly kind: "warning"; readonly message: string };
