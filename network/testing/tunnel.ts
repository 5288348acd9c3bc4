import { createHash, generateKeyPairSync } from "node:crypto";
import type { Test } from "tap";
import { tunnelLink, type WantedNetwork, type WantedTunnel } from "../wanted.js";
import { twoHosts, type OverlayHost } from "./overlay.js";

/** A host whose network is encrypted. */
export interface TunnelHost extends OverlayHost {
  readonly tunnel: WantedTunnel;
}

/** Debian's package wireguard-go. */
export const wireguardGo = "/usr/bin/wireguard-go";

/** What WireGuard puts around a packet, bytes (a header of 16 and a tag of 16), with UDP and IP; and VXLAN with its own over IPv6. */
const overhead = { ipv4: 20 + 8 + 32 + 70, ipv6: 40 + 8 + 32 + 70 } as const;

/** As {@link twoHosts}, with the network encrypted and nothing made yet. What runs for a link ends with the test. @param by who encrypts */
export async function twoTunnelHosts(
  t: Test,
  family: keyof typeof overhead = "ipv4",
  by: WantedTunnel["by"] = { program: wireguardGo },
): Promise<[TunnelHost, TunnelHost]> {
  const hosts = await twoHosts(t, family);
  const keys = hosts.map(newKey);
  const [one, other] = hosts.map((host, index): TunnelHost => {
    const [own, peer] = [keys[index]!, keys[1 - index]!];
    const peerHost = hosts[1 - index]!.network.overlay!.local;
    const tunnel: WantedTunnel = {
      by,
      privateKey: own.privateKey,
      port: 51840,
      address: own.address,
      peers: [{ publicKey: peer.publicKey, host: peerHost, port: 51840, address: peer.address }],
    };
    t.teardown(() => endTunnel(host));
    const network: WantedNetwork = {
      ...host.network,
      mtu: 1500 - overhead[family],
      overlay: { ...host.network.overlay!, local: own.address, isEncrypted: true },
    };
    const endpoint = { ...host.endpoint, mtu: network.mtu };
    return {
      ...host,
      network,
      endpoint,
      tunnel,
      change: { networks: [network], sandboxes: [host.sandbox], endpoints: [endpoint] },
      neighbours: host.neighbours.map((neighbour) => ({ ...neighbour, host: own.address })),
    };
  });
  return [one!, other!];
}

/** The program ends with its link. */
function endTunnel({ lab }: OverlayHost): void {
  lab.run("sh", "-c", `ip link delete ${tunnelLink} 2> /dev/null; true`);
}

export function newKey(): { privateKey: string; publicKey: string; address: string } {
  const { d, x } = generateKeyPairSync("x25519").privateKey.export({ format: "jwk" });
  const [privateKey, publicKey] = [d!, x!].map((raw) => Buffer.from(raw, "base64url"));
  const words = createHash("sha256").update(publicKey!).digest("hex").slice(0, 16).match(/.{4}/g)!;
  const address = new URL(`http://[fe80::${words.join(":")}]`).hostname.slice(1, -1); // as the kernel writes it
  return { privateKey: privateKey!.toString("base64"), publicKey: publicKey!.toString("base64"), address };
}
