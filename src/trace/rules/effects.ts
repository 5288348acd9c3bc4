import type { Packet } from "./packet.js";
import type { Surroundings } from "./surroundings.js";

/** What a rule does with a packet that passes its tests. */
export type Effect =
  | { readonly kind: "none" }
  | {
      readonly kind: "verdict";
      readonly verdict: "accept" | "drop" | "reject" | "return" | "queue" | "jump" | "goto" | "continue";
      readonly chain?: string;
    }
  | { readonly kind: "destination"; readonly ip: string | undefined; readonly port: number | undefined }
  | { readonly kind: "source"; readonly ip: string | undefined }
  | { readonly kind: "masquerade" }
  | { readonly kind: "redirect"; readonly port: number | undefined }
  | { readonly kind: "mark"; readonly clear: number; readonly set: number }
  | { readonly kind: "connection-mark"; readonly mark: number }
  | { readonly kind: "untracked" };

/** The packet after an effect. What is translated keeps its address where the new one is not known. */
export function afterEffect(packet: Packet, effect: Effect, surroundings: Surroundings): Packet {
  const destination = { ...packet.translated, destination: true };
  const source = { ...packet.translated, source: true };
  switch (effect.kind) {
    case "destination":
      return {
        ...packet,
        to: effect.ip ?? packet.to,
        toPort: effect.port ?? packet.toPort,
        translated: destination,
      };
    case "redirect":
      return {
        ...packet,
        to: packet.iif ? (surroundings.addressOf(packet.iif.index) ?? packet.to) : loopback[packet.family],
        toPort: effect.port ?? packet.toPort,
        translated: destination,
      };
    case "source":
      return { ...packet, from: effect.ip ?? packet.from, translated: source };
    case "masquerade":
      return { ...packet, from: surroundings.addressOf(packet.oif?.index) ?? packet.from, translated: source };
    case "mark":
      return { ...packet, mark: ((packet.mark & ~effect.clear) ^ effect.set) >>> 0 };
    case "connection-mark":
      return { ...packet, connectionMark: effect.mark };
    case "untracked":
      return { ...packet, isUntracked: true };
    case "none":
    case "verdict":
      return packet;
  }
}

const loopback = { ipv4: "127.0.0.1", ipv6: "::1" } as const;
