import type { EndpointRecord } from "./records.js";

/** Endpoints, found by their network and by their sandbox without a look at all others. */
export class EndpointIndex {
  readonly #byId = new Map<string, EndpointRecord>();
  readonly #byNetwork = new Map<string, Map<string, EndpointRecord>>();
  readonly #bySandbox = new Map<string, Map<string, EndpointRecord>>();
  readonly #withLinks = new Map<string, EndpointRecord>();

  get all(): ReadonlyMap<string, EndpointRecord> {
    return this.#byId;
  }

  /** Those that have links to other sandboxes. */
  get withLinks(): Iterable<EndpointRecord> {
    return this.#withLinks.values();
  }

  put(endpoint: EndpointRecord): void {
    const { id, network, sandbox, links } = endpoint;
    this.#byId.set(id, endpoint);
    add(this.#byNetwork, network, endpoint);
    add(this.#bySandbox, sandbox, endpoint);
    if (links.length > 0) this.#withLinks.set(id, endpoint);
    else this.#withLinks.delete(id);
  }

  delete(id: string): void {
    const endpoint = this.#byId.get(id);
    if (!endpoint) return;
    this.#byId.delete(id);
    this.#withLinks.delete(id);
    remove(this.#byNetwork, endpoint.network, id);
    remove(this.#bySandbox, endpoint.sandbox, id);
  }

  /** In the order in which they came. */
  of({ network, sandbox }: { readonly network?: string; readonly sandbox?: string }): EndpointRecord[] {
    const some =
      sandbox !== undefined
        ? this.#bySandbox.get(sandbox)
        : network !== undefined
          ? this.#byNetwork.get(network)
          : this.#byId;
    const endpoints = [...(some?.values() ?? [])];
    return network === undefined ? endpoints : endpoints.filter((endpoint) => endpoint.network === network);
  }

  countOn(network: string): number {
    return this.#byNetwork.get(network)?.size ?? 0;
  }
}

function add(into: Map<string, Map<string, EndpointRecord>>, key: string, endpoint: EndpointRecord): void {
  const known = into.get(key);
  if (known) known.set(endpoint.id, endpoint);
  else into.set(key, new Map([[endpoint.id, endpoint]]));
}

function remove(from: Map<string, Map<string, EndpointRecord>>, key: string, id: string): void {
  const known = from.get(key);
  known?.delete(id);
  if (known?.size === 0) from.delete(key);
}
