import { familyOf, isUnspecified, type Family } from "../../common/address.js";
import { printable } from "../../common/printable.js";
import { interfaceName, protocol, service, vni } from "../../linux/netlink/nftables/data-types.js";
import { concatenated, type Element } from "../../linux/netlink/nftables/transaction.js";
import { encodeAddress, following, rangeOf, withoutContained, type AddressRange } from "./ranges.js";
import type { SetId } from "./tables.js";
import {
  canForward,
  internalRanges,
  type FirewallOverlay,
  type FirewallWanted,
  type KernelForward,
  type LinkAccept,
  type UnderlayTunnel,
} from "./wanted.js";

/** What stands in a set for one thing: an element, or the two ends of a range. */
export interface Entry {
  readonly set: SetId;
  /** The same for the same key. */
  readonly id: string;
  readonly elements: readonly Element[];
}

/** Entries by set and id. */
export type Contents = ReadonlyMap<SetId, ReadonlyMap<string, Entry>>;

const IPPROTO = { tcp: 6, udp: 17 } as const;
const version = { ipv4: 4, ipv6: 6 } as const satisfies Record<Family, number>;
/** Bytes of a comment; nftables takes up to 254, and 200 elements must fit into one attribute. */
const commentAtMost = 120;

/** What the sets hold. Throws RangeError on what is no address, subnet or name of a link. */
export function contentsOf(wanted: FirewallWanted): Map<SetId, Map<string, Entry>> {
  const contents = new Map<SetId, Map<string, Entry>>();
  const internal = internalRanges(wanted.networks);
  const put = (entry: Entry) => {
    const held = contents.get(entry.set);
    if (!held) contents.set(entry.set, new Map([[entry.id, entry]]));
    else if (!held.has(entry.id)) held.set(entry.id, entry);
  };
  bridgeEntries(wanted).forEach(put);
  subnetEntries(wanted).forEach(put);
  for (const forward of wanted.forwards) forwardEntries(forward, internal).forEach(put);
  for (const link of wanted.links) linkEntries(link).forEach(put);
  for (const overlay of wanted.overlays) overlayEntries(overlay).forEach(put);
  if (wanted.tunnel) tunnelEntries(wanted.tunnel).forEach(put);
  return contents;
}

function bridgeEntries({ networks, others, bridgesFiltered }: FirewallWanted): Entry[] {
  const fromTo = (from: string, to: string) => concatenated(interfaceName.encode(from), interfaceName.encode(to));
  const within = (bridge: string, comment: string) => single("inet within", { key: fromTo(bridge, bridge), comment });
  const ours = networks.flatMap(({ name, bridge, internal, icc, reachedBy }) => {
    const comment = commentOf(`network ${name}`);
    const element = { key: interfaceName.encode(bridge), comment };
    return [
      single("inet bridges", element),
      ...(internal ? [single("inet internal", element)] : []),
      ...(internal || bridgesFiltered ? [single("inet proxied", element)] : []),
      single(icc ? "inet icc" : "inet quiet", { key: fromTo(bridge, bridge), comment }),
      within(bridge, comment),
      ...(reachedBy === undefined ? [] : [single("inet reached", { key: fromTo(reachedBy, bridge), comment })]),
    ];
  });
  const theirs = others.flatMap((bridge) => {
    const element = { key: interfaceName.encode(bridge), comment: commentOf("leaves it to Docker") };
    return [
      single("inet others", element),
      ...(bridgesFiltered ? [single("inet proxied", element)] : []),
      within(bridge, element.comment),
    ];
  });
  return [...ours, ...theirs];
}

function subnetEntries({ networks }: FirewallWanted): Entry[] {
  const masqueraded: Record<Family, Subnet[]> = { ipv4: [], ipv6: [] };
  const translated: Record<Family, Subnet[]> = { ipv4: [], ipv6: [] };
  for (const { name, subnets, internal, masquerade, reachedBy, snat } of networks)
    for (const range of internal ? [] : subnets.map(rangeOf)) {
      const comment = commentOf(`network ${name}`);
      const address = snat?.[range.family];
      if (address !== undefined) translated[range.family].push({ ...range, comment, data: encodeAddress(address) });
      else if (masquerade && (reachedBy === undefined || range.family === "ipv4"))
        masqueraded[range.family].push({ ...range, comment });
    }
  return (["ipv4", "ipv6"] as const).flatMap((family) => [
    ...withoutContained(masqueraded[family]).map((subnet) => interval(`inet masqueraded${version[family]}`, subnet)),
    ...withoutContained(translated[family]).map((subnet) => interval(`inet snat${version[family]}`, subnet)),
  ]);
}

/** What one published port puts into the sets; nothing when the kernel cannot forward it. @param internal from `internalRanges` */
export function forwardEntries(forward: KernelForward, internal: readonly AddressRange[]): Entry[] {
  if (!canForward(forward, internal)) return [];
  const { owner, transport, ip, port, to, sources } = forward;
  const family = familyOf(to.ip);
  const isAny = ip === undefined || isUnspecified(ip);
  const where = isAny ? (`${version[family]}` as const) : (`_at${version[family]}` as const);
  const comment = commentOf(owner);
  const parts = [protocol.encode(IPPROTO[transport]), service.encode(port)];
  const key = concatenated(...(isAny ? parts : [encodeAddress(ip), ...parts]));
  const data = { bytes: concatenated(encodeAddress(to.ip), service.encode(to.port)) };
  const published = single(`inet published${where}`, { key, data, comment });
  if (sources === undefined) return [published];
  const allowed = withoutContained(sources.map(rangeOf).filter((range) => range.family === family));
  return [
    published,
    single(`inet limited${where}`, { key, comment }),
    ...allowed.map(({ first, last }) =>
      single(`inet allowed${where}`, { key: concatenated(key, first), keyEnd: concatenated(key, last), comment }),
    ),
  ];
}

function linkEntries({ owner, from, to, transport, port }: LinkAccept): Entry[] {
  if (familyOf(from) !== familyOf(to)) return [];
  const name = `linked${version[familyOf(to)]}` as const;
  const parts = [encodeAddress(from), encodeAddress(to), protocol.encode(IPPROTO[transport]), service.encode(port)];
  const element = { key: concatenated(...parts), comment: commentOf(owner) };
  return [single(`inet ${name}`, element), single(`bridge ${name}`, element)];
}

function overlayEntries({ name, vni: number, port, peers, isEncrypted = false }: FirewallOverlay): Entry[] {
  const comment = commentOf(`network ${name}`);
  const parts = [service.encode(port), vni.encode(number)];
  return [
    single("inet overlays", { key: concatenated(...parts), comment }),
    ...peers.map((ip) =>
      // In the tunnel hosts have IPv6 addresses.
      single(isEncrypted ? "inet tunneled6" : `inet members${version[familyOf(ip)]}`, {
        key: concatenated(encodeAddress(ip), ...parts),
        comment,
      }),
    ),
  ];
}

function tunnelEntries({ link, port, hosts }: UnderlayTunnel): Entry[] {
  return [
    single("inet tunnels", { key: interfaceName.encode(link) }),
    single("inet tunnel_ports", { key: service.encode(port) }),
    ...hosts.map((ip) => single(`inet hosts${version[familyOf(ip)]}`, { key: encodeAddress(ip) })),
  ];
}

interface Subnet extends AddressRange {
  readonly comment: string;
  readonly data?: Buffer;
}

function single(set: SetId, element: Element): Entry {
  const { key, keyEnd } = element;
  return { set, id: textOf(key) + (keyEnd ? textOf(keyEnd) : ""), elements: [element] };
}

function textOf(key: Buffer): string {
  return key.toString("latin1");
}

function interval(set: SetId, { first, last, comment, data }: Subnet): Entry {
  const end = following(last);
  const begin: Element = { key: first, comment, ...(data && { data: { bytes: data } }) };
  return {
    set,
    id: textOf(first) + textOf(last),
    elements: end ? [begin, { key: end, endsRange: true }] : [begin],
  };
}

/** `pontoon network web`, on one line and not too long. */
function commentOf(owner: string): string {
  const words = `pontoon ${printable(owner).replaceAll('"', "'")}`;
  if (words.length * 3 <= commentAtMost) return words;
  const text = Buffer.from(words);
  // A letter cut in two at the end is left out.
  return text.length <= commentAtMost
    ? text.toString()
    : text.toString("utf8", 0, commentAtMost).replace(/\uFFFD$/, "");
}
