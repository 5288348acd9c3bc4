import { fileURLToPath } from "node:url";
import { BareHost, type Outside, type Pontoon, type PontoonOptions } from "../../integration/lab/index.js";
import type { HelperProcess } from "../../integration/lab/helper-process.js";
import type { Undo } from "../lib/cleanup.js";
import type { ManyReply, ManyRequest } from "./many-child.js";

/** A host without Docker, with another beyond its default route, and the daemon. */
export interface PontoonHost {
  readonly host: BareHost;
  readonly outside: Outside;
  readonly pontoon: Pontoon;
  readonly many: HelperProcess<ManyRequest, ManyReply>;
}

/** A helper program of this folder, in its built form. */
export const childProgram = (file: string) => fileURLToPath(new URL(file, import.meta.url));

export async function startHost(undo: Undo, options: PontoonOptions = {}): Promise<PontoonHost> {
  const host = await BareHost.start(undo);
  const outside = await host.outside();
  const pontoon = await host.pontoon(options);
  return { host, outside, pontoon, many: host.helper(childProgram("many-child.js")) };
}
