import type { DockerHost, Pontoon } from "../../integration/lab/index.js";
import { processesOf, type Kind } from "../memory/processes.js";
import { proportionalSetSize } from "../proxy/process.js";

/** The processes of one kind, and the bytes (PSS) they hold. */
export interface Amount {
  readonly processes: number;
  readonly pss: number;
}

/** By kind. */
export type Held = Readonly<Partial<Record<Kind, Amount>>>;

/** Those that serve published ports. dockerd and pontoon-dns have other work, and count for neither. */
const serving: readonly Kind[] = ["docker-proxies", "shims", "pontoon-proxy", "bulk workers", "pontoon daemon"];

/** What all of pontoon and Docker on a host holds. */
export function heldBy(host: DockerHost, pontoon: Pontoon | undefined): Held {
  return Object.fromEntries(
    [...processesOf(host, pontoon)].map(([kind, pids]) => [
      kind,
      { processes: pids.length, pss: pids.reduce((sum, pid) => sum + proportionalSetSize(host, pid), 0) },
    ]),
  );
}

/** By how much it has grown, of each kind that is there. */
export function growth(before: Held, after: Held): Held {
  const kinds = Object.keys({ ...before, ...after }) as Kind[];
  const none: Amount = { processes: 0, pss: 0 };
  return Object.fromEntries(
    kinds.map((kind) => {
      const [was, is] = [before[kind] ?? none, after[kind] ?? none];
      return [kind, { processes: is.processes - was.processes, pss: is.pss - was.pss }];
    }),
  );
}

/** Of all that serve published ports. */
export function sumOf(held: Held, figure: keyof Amount): number {
  return serving.reduce((sum, kind) => sum + (held[kind]?.[figure] ?? 0), 0);
}
