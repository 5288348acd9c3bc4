import { isReverse, keyOfText, labelsOf, splitPositions, type NameKey } from "../wire/name.js";
import type { SandboxRecord, Source, Transport } from "../protocol.js";
import { TYPE } from "../wire/query.js";
import { addressRecord, anyRecord, pointerRecord, serviceRecord, type AnswerRecord } from "../wire/records.js";
import { portsOfService } from "./service-names.js";
import type { Endpoint, NetworkZone, Zones } from "./zone.js";

/** What the table says about a question. `undefined` instead of this: the name is not ours to answer. */
export interface LocalAnswer {
  readonly exists: boolean;
  readonly records: readonly AnswerRecord[];
  readonly additional: readonly AnswerRecord[];
  readonly source: Source & { kind: "local" };
}

/** Looking at so many costs less than finding out which matter. */
const fewNetworks = 4;

interface Match {
  readonly network: NetworkZone;
  readonly endpoints: readonly Endpoint[];
}

interface ClientNetwork {
  readonly id: string;
  readonly links: ReadonlyMap<NameKey, NameKey>;
}

/**
 * The names one client may see, and what they mean to it: its networks in the order Docker asks them, its links.
 * Follows libnetwork's lookup (`Sandbox.ResolveName`), but without regard to letter case throughout (RFC 4343).
 */
export class ClientView {
  readonly networks: readonly ClientNetwork[];
  /** Their places in that order, by id. */
  readonly #places: ReadonlyMap<string, number>;
  readonly #linked: readonly ClientNetwork[];

  constructor(
    record: SandboxRecord,
    private readonly zones: Zones,
  ) {
    this.networks = record.networks.map(({ id, links }) => ({ id, links: linkKeys(links) }));
    this.#places = new Map(this.networks.map(({ id }, place) => [id, place]));
    this.#linked = this.networks.filter(({ links }) => links.size > 0);
  }

  /** Whether a network of the client has names this host's table cannot know. */
  get seesSharedNetwork(): boolean {
    return this.networks.some(({ id }) => this.zones.networks.get(id)?.record.shared === true);
  }

  /** Whether a service's name can only belong to the client's networks: below a single label, or below a name that ends in a network's. */
  isOwnService(key: NameKey): boolean {
    const [, nameAt] = splitPositions(key);
    if (nameAt === undefined || transportOf(labelsOf(key)[1]) === undefined) return false;
    const name = key.slice(nameAt);
    const positions = splitPositions(name);
    return positions.length === 0 || positions.some((at) => this.#own(this.zones.called(name.slice(at))).length > 0);
  }

  /** Answers from the table, or says that the name is not local. */
  answer(key: NameKey, type: number): LocalAnswer | undefined {
    return this.#answerName(key, type) ?? this.#answerAddress(key, type) ?? this.#answerService(key, type);
  }

  #answerName(key: NameKey, type: number): LocalAnswer | undefined {
    const matches = this.#find(key);
    if (matches.length === 0) return undefined;
    if (type === TYPE.A || type === TYPE.AAAA) return addressesOf(matches, type);
    return withRecords(matches[0]!, type === TYPE.ANY ? [anyRecord(smallestTtl(matches[0]!.endpoints))] : []);
  }

  /** PTR: the container's name on the network whose address it is. */
  #answerAddress(key: NameKey, type: number): LocalAnswer | undefined {
    if (!isReverse(key)) return undefined;
    for (const { id } of this.networks) {
      const network = this.zones.networks.get(id);
      const endpoint = network?.addresses.get(key)?.at(-1);
      if (!network || !endpoint) continue;
      const match = { network, endpoints: [endpoint] };
      if (type === TYPE.ANY) return withRecords(match, [anyRecord(endpoint.record.ttl)]);
      const target = fullName(endpoint, network);
      return withRecords(
        match,
        type === TYPE.PTR && target !== undefined ? [pointerRecord(target, endpoint.record.ttl)] : [],
      );
    }
    return undefined;
  }

  /** `_<port or service>._<transport>.<name>` of a local name: SRV where the port is exposed, and never asked of others. */
  #answerService(key: NameKey, type: number): LocalAnswer | undefined {
    if (key.charCodeAt(1) !== 0x5f /* _ */) return undefined;
    const labels = labelsOf(key);
    const transport = transportOf(labels[1]) ?? transportOf(labels[0]);
    if (transport === undefined) return undefined;
    const isTransportAlone = transportOf(labels[0]) !== undefined && transportOf(labels[1]) === undefined;
    const positions = splitPositions(key);
    const nameAt = positions[isTransportAlone ? 0 : 1];
    const match = nameAt === undefined ? undefined : this.#find(key.slice(nameAt))[0];
    if (!match) return undefined;
    if (isTransportAlone) return withRecords(match, []);
    const wanted = portsOfLabel(labels[0]!.slice(1));
    const services = match.endpoints.flatMap((endpoint) =>
      endpoint.record.ports
        .filter(([port, proto]) => proto === transport && wanted.includes(port))
        .map(([port]) => ({ endpoint, port })),
    );
    if (services.length === 0) return { ...withRecords(match, []), exists: false };
    if (type === TYPE.ANY) return withRecords(match, [anyRecord(smallestTtl(match.endpoints))]);
    return type === TYPE.SRV ? serviceAnswer(match, services) : withRecords(match, []);
  }

  /** Everything a name stands for, best first: the whole name, then `name.network` split at each dot from the right. */
  #find(key: NameKey): Match[] {
    const matches = this.#findOn(key, this.#networksThatMatter(key));
    const splits = splitPositions(key);
    for (let index = splits.length - 1; index >= 0; index--) {
      const networkKey = key.slice(splits[index]);
      const named = this.#own(this.zones.called(networkKey));
      if (named.length > 0) matches.push(...this.#findOn(key.slice(0, splits[index]), named));
    }
    return matches;
  }

  /** A client may be on hundreds of networks: those without such a name or link are not even looked at. */
  #networksThatMatter(key: NameKey): readonly ClientNetwork[] {
    if (this.networks.length <= fewNetworks) return this.networks;
    const linked = this.#linked
      .filter(({ links }) => links.has(key))
      .flatMap(({ id }) => this.zones.networks.get(id) ?? []);
    return this.#own(
      linked.length === 0 ? this.zones.having(key) : [...new Set([...linked, ...this.zones.having(key)])],
    );
  }

  /** Those of the networks that the client is on, in its order. */
  #own(networks: readonly NetworkZone[]): ClientNetwork[] {
    const places = networks.map(({ record }) => this.#places.get(record.id)).filter((place) => place !== undefined);
    return places.sort((a, b) => a - b).map((place) => this.networks[place]!);
  }

  /** First the client's links on each network, then real names; a link hides the real name on its own network. */
  #findOn(key: NameKey, networks: readonly ClientNetwork[]): Match[] {
    const linked: Match[] = [];
    const real: Match[] = [];
    for (const { id, links } of networks) {
      const network = this.zones.networks.get(id);
      if (!network) continue;
      const target = links.get(key);
      const endpoints = network.names.get(target ?? key);
      if (endpoints) (target === undefined ? real : linked).push({ network, endpoints });
    }
    return linked.length === 0 ? real : [...linked, ...real];
  }
}

function addressesOf(matches: readonly Match[], type: typeof TYPE.A | typeof TYPE.AAAA): LocalAnswer {
  for (const match of matches) {
    const records = match.endpoints
      .map((endpoint) => addressRecord(endpoint, type))
      .filter((record) => record !== undefined);
    if (records.length > 0) return withRecords(match, sameTtl(withoutRepeats(records)));
  }
  return withRecords(matches[0]!, []);
}

function serviceAnswer(match: Match, services: readonly { endpoint: Endpoint; port: number }[]): LocalAnswer {
  const records: AnswerRecord[] = [];
  const additional: AnswerRecord[] = [];
  const told = new Set<string>();
  for (const { endpoint, port } of services) {
    const target = fullName(endpoint, match.network);
    if (target === undefined) continue;
    records.push(serviceRecord(target, port, endpoint.record.ttl));
    if (told.has(target)) continue;
    told.add(target);
    for (const type of [TYPE.A, TYPE.AAAA] as const) {
      const record = addressRecord(endpoint, type, target);
      if (record) additional.push(record);
    }
  }
  return { ...withRecords(match, sameTtl(records)), additional };
}

function withRecords(match: Match, records: readonly AnswerRecord[]): LocalAnswer {
  const names = match.endpoints.map((endpoint) => endpoint.record.names[0] ?? endpoint.record.container);
  return {
    exists: true,
    records,
    additional: [],
    source: { kind: "local", network: match.network.record.name, names },
  };
}

/** `container.network`, or the first of its names that DNS can carry. */
function fullName(endpoint: Endpoint, network: NetworkZone): string | undefined {
  return endpoint.record.names
    .map((name) => `${name}.${network.record.name}`)
    .find((name) => keyOfText(name) !== undefined);
}

/** The records of one set share a TTL (RFC 2181 section 5.2): the smallest. */
function sameTtl(records: readonly AnswerRecord[]): AnswerRecord[] {
  const ttl = Math.min(...records.map((record) => record.ttl));
  return records.map((record) => (record.ttl === ttl ? record : { ...record, ttl }));
}

function smallestTtl(endpoints: readonly Endpoint[]): number {
  return Math.min(...endpoints.map((endpoint) => endpoint.record.ttl));
}

function withoutRepeats(records: readonly AnswerRecord[]): readonly AnswerRecord[] {
  if (records.length === 1) return records;
  return [...new Map(records.map((record) => [record.data.toString("latin1"), record])).values()];
}

function transportOf(label: string | undefined): Transport | undefined {
  if (label === "_tcp") return "tcp";
  if (label === "_udp") return "udp";
  return label === "_sctp" ? "sctp" : undefined;
}

function portsOfLabel(label: string): readonly number[] {
  return /^\d{1,5}$/.test(label) ? [Number(label)] : portsOfService(label);
}

function linkKeys(links: readonly (readonly [string, string])[]): Map<NameKey, NameKey> {
  const keys = new Map<NameKey, NameKey>();
  for (const [alias, target] of links) {
    const [aliasKey, targetKey] = [keyOfText(alias), keyOfText(target)];
    if (aliasKey !== undefined && targetKey !== undefined) keys.set(aliasKey, targetKey);
  }
  return keys;
}
