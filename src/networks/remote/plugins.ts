import { PluginClient, usualPatience } from "./client.js";
import { dockersPlaces } from "./places.js";

/** Plugins by their names, for as long as the daemon is there. */
export class Plugins {
  readonly #ending = new AbortController();
  readonly #clients = new Map<string, PluginClient>();

  constructor(
    readonly places = dockersPlaces,
    private readonly patience = usualPatience,
  ) {}

  get(name: string): PluginClient {
    const known = this.#clients.get(name);
    if (known) return known;
    const client = new PluginClient(name, this.places, this.patience, this.#ending.signal);
    this.#clients.set(name, client);
    return client;
  }

  /** Nobody is waited for any more. Can be called twice. */
  stop(): void {
    this.#ending.abort();
  }
}
