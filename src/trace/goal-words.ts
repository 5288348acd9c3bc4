import { isAddress, canonicalForm } from "../../common/address.js";
import type { Transport } from "./facts/world.js";

/** What is written as the goal: a name or an address, and what is asked for there. */
export interface GoalWords {
  readonly name: string;
  readonly transport: Transport;
  /** Undefined for a ping. */
  readonly port: number | undefined;
}

/** Reads `TO[:PORT[/tcp|udp]]`, an IPv6 address with a port in brackets. @returns undefined for anything else */
export function parseGoal(text: string): GoalWords | undefined {
  if (isAddress(text)) return { name: canonicalForm(text), transport: "icmp", port: undefined };
  const [, bracketed, plain, digits, transport = "tcp"] =
    /^(?:\[([^\]]+)\]|([^:[\]/]+))(?::(\d{1,5})(?:\/(tcp|udp))?)?$/.exec(text) ?? [];
  const name = bracketed ?? plain;
  if (name === undefined || (bracketed !== undefined && !isAddress(bracketed))) return undefined;
  if (digits === undefined) return { name, transport: "icmp", port: undefined };
  const port = Number(digits);
  if (port < 1 || port > 65_535) return undefined;
  return { name: isAddress(name) ? canonicalForm(name) : name, transport: transport as "tcp" | "udp", port };
}
