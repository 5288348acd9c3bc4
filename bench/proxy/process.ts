import { readdirSync, readFileSync } from "node:fs";
import type { Place } from "../lib/cpu.js";

/** Bytes of memory a process holds, what it shares with others included. */
export function residentMemory(place: Place, pid: number): number {
  return kilobytes(readFileSync(place.path(`/proc/${pid}/status`), "utf8"), "VmRSS") * 1024;
}

/** Bytes of memory a process holds; of what it shares with others, its share. */
export function proportionalSetSize(place: Place, pid: number): number {
  return kilobytes(readFileSync(place.path(`/proc/${pid}/smaps_rollup`), "utf8"), "Pss") * 1024;
}

/** How many descriptors a process has open. */
export function descriptors(place: Place, pid: number): number {
  return readdirSync(place.path(`/proc/${pid}/fd`)).length;
}

function kilobytes(text: string, field: string): number {
  const found = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(text);
  if (!found) throw new Error(`the kernel tells no ${field}`);
  return Number(found[1]);
}
