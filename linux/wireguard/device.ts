import type { SocketAddress } from "../../common/address.js";

// What a WireGuard link is told, and tells, whoever does the work: the kernel or a program.

/** Another end that a WireGuard link speaks with. */
export interface WireguardPeer {
  /** 32 bytes as base64. */
  readonly publicKey: string;
  /** Where it is reached; undefined while that is not known. */
  readonly endpoint: SocketAddress | undefined;
  /** Addresses with their prefixes: what goes to them goes to this end, and nothing else is taken from it. */
  readonly allowed: readonly string[];
}

/** How a WireGuard link is set. */
export interface WireguardState {
  /** 32 bytes as base64; undefined for one that has none yet. */
  readonly privateKey: string | undefined;
  /** Of UDP. */
  readonly port: number;
  readonly peers: readonly WireguardPeer[];
}

/** What is to be set otherwise; what is left out stays, sessions of other peers included. */
export interface WireguardChanges {
  readonly privateKey?: string;
  readonly port?: number;
  /** New ones, and those of which something is otherwise. */
  readonly put: readonly WireguardPeer[];
  /** Public keys. */
  readonly removed: readonly string[];
}

/** One WireGuard link, by either of its two interfaces. Everything is synchronous. */
export interface WireguardDevice {
  /** @returns undefined where nothing answers for a link of that name */
  read(): WireguardState | undefined;
  /** Throws a LinuxError or NetlinkError: EADDRINUSE where somebody else has the port. */
  write(changes: WireguardChanges): void;
  /** Can be called once. */
  close(): void;
}
