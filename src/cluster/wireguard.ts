import { basename } from "node:path";
import { canonicalAddress } from "../../common/address.js";
import type { Store } from "../store/store.js";
import type { HostRecord } from "./records.js";
import { isKey, newPrivateKey, publicKeyOf, tunnelAddress } from "./wireguard-key.js";

// WireGuard as hosts tell one another of it.

/** Who does WireGuard's work on this host: the kernel, or a program that serves a tun link as wireguard-go does. */
export type WireguardMaker = "kernel" | { readonly program: string };

/** WireGuard as this host has it. */
export interface OwnWireguard {
  readonly by: WireguardMaker;
  /** Of UDP, where other hosts reach it. */
  readonly port: number;
  /** 32 bytes as base64. */
  readonly privateKey: string;
  readonly publicKey: string;
}

/** Another host, as a peer of this one's. */
export interface WireguardHost {
  readonly publicKey: string;
  /** Its address on the underlay. */
  readonly host: string;
  readonly port: number;
  /** As {@link tunnelAddress} has it. */
  readonly address: string;
}

const storeKey = "wireguard-key";

/** Of this host: the key is made when it is first asked for, and stays for as long as the state directory is there. */
export function ownWireguard(store: Store, { by, port }: Pick<OwnWireguard, "by" | "port">): OwnWireguard {
  const kept = store.all("meta").get(storeKey);
  const privateKey = typeof kept === "string" && isKey(kept) ? kept : newPrivateKey();
  if (privateKey !== kept) store.write([{ kind: "meta", key: storeKey, value: privateKey }]);
  return { by, port, privateKey, publicKey: publicKeyOf(privateKey) };
}

/** What encrypts, as people are told. */
export function nameOfMaker(by: WireguardMaker): string {
  return by === "kernel" ? "wireguard (kernel)" : basename(by.program);
}

/** A host's address for packets of encrypted networks; undefined for one that takes none: without a key, or of an earlier version. */
export function encryptedAddress({ wireguard }: Pick<HostRecord, "wireguard">): string | undefined {
  return wireguard && tunnelAddress(wireguard.publicKey);
}

/** Other hosts that this one may send encrypted packets to. Of several that say they have one key the first counts, by id. */
export function wireguardHosts(hosts: Iterable<HostRecord>, own: HostRecord): WireguardHost[] {
  const taken = new Set([own.wireguard?.publicKey]);
  const sorted = [...hosts].sort((one, other) => (one.id < other.id ? -1 : 1));
  return sorted.flatMap(({ id, advertise, wireguard }) => {
    const host = canonicalAddress(advertise);
    if (id === own.id || !wireguard || host === undefined || taken.has(wireguard.publicKey)) return [];
    taken.add(wireguard.publicKey);
    return [{ ...wireguard, host, address: tunnelAddress(wireguard.publicKey) }];
  });
}
