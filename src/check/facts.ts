// What `pontoon check` has found out, as plain data. Probes fill it in; findings.ts alone says what it means.
import type { KernelFeature } from "../../linux/selftest.js";
import type { Status } from "../status.js";
import type { LeftoverTables } from "../names/leftovers.js";
import type { WritingFault } from "../../common/own-folder.js";
import type { Holder } from "../../linux/listening-sockets.js";

/** Something that was looked at, or why it could not be. */
export type Seen<Value> =
  { readonly kind: "seen"; readonly value: Value } | { readonly kind: "unseen"; readonly reason: string };

export interface Facts {
  readonly isRoot: boolean;
  readonly features: readonly KernelFeature[];
  /** What is wrong with the configuration file; undefined when nothing is. */
  readonly config: string | undefined;
  /** Folders the daemon keeps files in, as far as somebody with root has looked. */
  readonly folders: readonly FolderFacts[];
  readonly docker: DockerFacts;
  readonly daemon: DaemonFacts;
  readonly containers: Seen<readonly ContainerFacts[]>;
  readonly host: HostFacts;
  readonly leftovers: LeftoverFacts;
}

export interface FolderFacts {
  readonly option: "--run-dir" | "--state-dir";
  readonly path: string;
  /** Why nothing can be written there. */
  readonly fault: WritingFault | undefined;
}

export type DockerFacts =
  | {
      readonly kind: "reachable";
      readonly host: string;
      readonly version: string;
      /** Undefined when no process of ours to see holds the socket. */
      readonly pid: number | undefined;
      readonly liveRestore: boolean;
      readonly usernsRemap: boolean;
      readonly rootless: boolean;
      readonly iptables: boolean;
      readonly userlandProxy: boolean;
    }
  /** It cannot be served from here. */
  | { readonly kind: "refused"; readonly host: string; readonly reason: string }
  | { readonly kind: "unreachable"; readonly host: string; readonly reason: string }
  | { readonly kind: "not-allowed"; readonly host: string }
  /** The host is to be run without. */
  | { readonly kind: "none"; readonly host: string };

/** The daemon behind the control socket. */
export type DaemonFacts =
  | {
      readonly kind: "running";
      readonly version: string;
      readonly pid: number;
      readonly observe: boolean;
      readonly docker: { readonly host: string; readonly state: string; readonly detail: string };
      readonly dns: { readonly state: string; readonly pid: number | undefined; readonly detail: string };
      readonly ports: { readonly state: string; readonly detail: string };
      /** Undefined of an earlier daemon. */
      readonly backend: Status["backend"];
    }
  | { readonly kind: "none"; readonly runDir: string }
  | { readonly kind: "not-allowed" }
  | { readonly kind: "silent"; readonly reason: string };

/** A running container. */
export interface ContainerFacts {
  readonly name: string;
  readonly resolver:
    | { readonly kind: "pontoon" }
    /** Docker keeps it, by rule or by the user's wish. */
    | { readonly kind: "left"; readonly reason: string }
    /** pontoon should have it and does not; `code` as in docs/errors.md. */
    | { readonly kind: "failed"; readonly code: string; readonly reason: string }
    /** It would be pontoon's: no daemon runs, or it is about to be taken over. */
    | { readonly kind: "waiting"; readonly reason: string };
  /** Programs in its network namespace that listen at port 53. */
  readonly holders: Seen<readonly Holder[]>;
}

export interface HostFacts {
  /** Programs in the host's network namespace that listen at port 53. */
  readonly holders: readonly Holder[];
  /** A rule of the host's that redirects DNS. */
  readonly redirect: Seen<string | undefined>;
}

/** Things of pontoon's that nobody uses any more. */
export interface LeftoverFacts {
  /** Tables in namespaces in which no server listens at the port they lead to. */
  readonly tables: Seen<LeftoverTables>;
  /** Sockets that nobody answers, a pid file and last words of a server that has ended, locks that nobody holds. */
  readonly files: readonly string[];
  /** pontoon-dns processes that no daemon steers. */
  readonly servers: readonly number[];
}
