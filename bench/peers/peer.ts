import type { Container } from "../../integration/lab/index.js";

/** A DNS server that is ready to be asked. */
export interface Peer {
  readonly name: string;
  /** The container in whose network namespace the questions are asked. */
  readonly client: Container;
  readonly target: { readonly address: string; readonly port: number };
  /** The processes, by their numbers inside the host, whose CPU time answering costs. */
  readonly processes: readonly number[];
  stop(): Promise<void>;
}
