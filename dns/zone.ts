import { encodeIPv4, encodeIPv6 } from "../src/linux/address.js";
import { keyOfText, reverseKey, type NameKey } from "./name.js";
import type { EndpointRecord, NetworkRecord } from "./protocol.js";

/** An endpoint as the lookup core holds it: its addresses ready to be put into records. */
export interface Endpoint {
  readonly record: EndpointRecord;
  readonly keys: readonly NameKey[];
  readonly ipv4: Buffer | undefined;
  readonly ipv6: Buffer | undefined;
  readonly reverseKeys: readonly NameKey[];
}

/** One network's names and addresses. */
export class NetworkZone {
  readonly names = new Map<NameKey, Endpoint[]>();
  readonly addresses = new Map<NameKey, Endpoint[]>();
  readonly endpoints = new Map<string, Endpoint>();
  key: NameKey | undefined;

  constructor(public record: NetworkRecord) {
    this.key = keyOfText(record.name);
  }

  /** Adds an endpoint, or replaces the one of the same container. */
  put(record: EndpointRecord): void {
    this.remove(record.container);
    const endpoint = endpointOf(record);
    this.endpoints.set(record.container, endpoint);
    for (const key of endpoint.keys) addTo(this.names, key, endpoint);
    for (const key of endpoint.reverseKeys) addTo(this.addresses, key, endpoint);
  }

  remove(container: string): void {
    const endpoint = this.endpoints.get(container);
    if (!endpoint) return;
    this.endpoints.delete(container);
    for (const key of endpoint.keys) removeFrom(this.names, key, endpoint);
    // Docker reuses an address at once: the next container may have been added before the last one was removed.
    for (const key of endpoint.reverseKeys) removeFrom(this.addresses, key, endpoint);
  }
}

/** The networks of this host. `onChange` is told which network's answers may be different now. */
export class Zones {
  readonly networks = new Map<string, NetworkZone>();

  constructor(private readonly onChange: (network: string) => void = () => undefined) {}

  putNetwork(record: NetworkRecord): void {
    const known = this.networks.get(record.id);
    if (known) {
      known.record = record;
      known.key = keyOfText(record.name);
    } else this.networks.set(record.id, new NetworkZone(record));
    this.onChange(record.id);
  }

  removeNetwork(id: string): void {
    if (this.networks.delete(id)) this.onChange(id);
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

function addTo(map: Map<NameKey, Endpoint[]>, key: NameKey, endpoint: Endpoint): void {
  const holders = map.get(key);
  if (holders) holders.push(endpoint);
  else map.set(key, [endpoint]);
}

function removeFrom(map: Map<NameKey, Endpoint[]>, key: NameKey, endpoint: Endpoint): void {
  const left = map.get(key)?.filter((holder) => holder !== endpoint) ?? [];
  if (left.length === 0) map.delete(key);
  else map.set(key, left);
}
