import { encodeIPv4, encodeIPv6 } from "../../common/address.js";
import { keyOfText, reverseKey, type NameKey } from "../wire/name.js";
import type { EndpointRecord, NetworkRecord } from "../protocol.js";

/** An endpoint as the lookup core holds it: its addresses ready to be put into records. */
export interface Endpoint {
  readonly record: EndpointRecord;
  readonly keys: readonly NameKey[];
  readonly ipv4: Buffer | undefined;
  readonly ipv6: Buffer | undefined;
  readonly reverseKeys: readonly NameKey[];
}

/** Networks by a name, of their own or of an endpoint. */
type Index = Map<NameKey, NetworkZone[]>;

/** One network's names and addresses. */
export class NetworkZone {
  readonly names = new Map<NameKey, Endpoint[]>();
  readonly addresses = new Map<NameKey, Endpoint[]>();
  readonly endpoints = new Map<string, Endpoint>();
  key: NameKey | undefined;

  /** @param index told which names this network has */
  constructor(
    public record: NetworkRecord,
    private readonly index: Index = new Map(),
  ) {
    this.key = keyOfText(record.name);
  }

  /** Adds an endpoint, or replaces the one of the same container. */
  put(record: EndpointRecord): void {
    this.remove(record.container);
    const endpoint = endpointOf(record);
    this.endpoints.set(record.container, endpoint);
    for (const key of endpoint.keys) if (addTo(this.names, key, endpoint)) addTo(this.index, key, this);
    for (const key of endpoint.reverseKeys) addTo(this.addresses, key, endpoint);
  }

  remove(container: string): void {
    const endpoint = this.endpoints.get(container);
    if (!endpoint) return;
    this.endpoints.delete(container);
    for (const key of endpoint.keys) if (removeFrom(this.names, key, endpoint)) removeFrom(this.index, key, this);
    // Docker reuses an address at once: the next container may have been added before the last one was removed.
    for (const key of endpoint.reverseKeys) removeFrom(this.addresses, key, endpoint);
  }
}

/** The networks of this host. `onChange` is told which network's answers may be different now. */
export class Zones {
  readonly networks = new Map<string, NetworkZone>();
  readonly #byName: Index = new Map();
  readonly #byOwnName: Index = new Map();

  constructor(private readonly onChange: (network: string) => void = () => undefined) {}

  /** The networks on which somebody has a name, in no order. */
  having(name: NameKey): readonly NetworkZone[] {
    return this.#byName.get(name) ?? [];
  }

  /** The networks with this name, in no order. */
  called(name: NameKey): readonly NetworkZone[] {
    return this.#byOwnName.get(name) ?? [];
  }

  putNetwork(record: NetworkRecord): void {
    const known = this.networks.get(record.id);
    const network = known ?? new NetworkZone(record, this.#byName);
    if (known?.key !== undefined) removeFrom(this.#byOwnName, known.key, known);
    network.record = record;
    network.key = keyOfText(record.name);
    if (network.key !== undefined) addTo(this.#byOwnName, network.key, network);
    this.networks.set(record.id, network);
    this.onChange(record.id);
  }

  removeNetwork(id: string): void {
    const network = this.networks.get(id);
    if (!network) return;
    for (const container of [...network.endpoints.keys()]) network.remove(container);
    if (network.key !== undefined) removeFrom(this.#byOwnName, network.key, network);
    this.networks.delete(id);
    this.onChange(id);
  }

  /** Endpoints of unknown networks are left out: the network comes first. */
  putEndpoint(record: EndpointRecord): void {
    const network = this.networks.get(record.network);
    if (!network) return;
    network.put(record);
    this.onChange(record.network);
  }

  removeEndpoint(network: string, container: string): void {
    this.networks.get(network)?.remove(container);
    this.onChange(network);
  }
}

function endpointOf(record: EndpointRecord): Endpoint {
  const keys = record.names.map(keyOfText).filter((key) => key !== undefined);
  const ipv4 = record.ipv4 === undefined ? undefined : encodeIPv4(record.ipv4);
  const ipv6 = record.ipv6 === undefined ? undefined : encodeIPv6(record.ipv6);
  const reverseKeys: NameKey[] = [];
  if (ipv4) reverseKeys.push(reverseKey({ ipv4: [...ipv4] }));
  if (ipv6) reverseKeys.push(reverseKey({ ipv6: [...ipv6] }));
  return { record, keys: [...new Set(keys)], ipv4, ipv6, reverseKeys };
}

/** @returns whether it is the first under that key */
function addTo<Holder>(map: Map<NameKey, Holder[]>, key: NameKey, holder: Holder): boolean {
  const holders = map.get(key);
  if (holders) holders.push(holder);
  else map.set(key, [holder]);
  return holders === undefined;
}

/** @returns whether none is left under that key */
function removeFrom<Holder>(map: Map<NameKey, Holder[]>, key: NameKey, holder: Holder): boolean {
  const left = map.get(key)?.filter((other) => other !== holder) ?? [];
  if (left.length === 0) map.delete(key);
  else map.set(key, left);
  return left.length === 0;
}
