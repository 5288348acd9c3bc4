import { concat, type Statement } from "../../linux/netlink/nftables/fields.js";
import {
  accept,
  ADDRESS_KIND,
  ct,
  CT_STATE,
  CT_STATUS,
  dnatByMap,
  drop,
  ETHERTYPE_ARP,
  fib,
  goto,
  icmpv6,
  ICMPV6_TYPE,
  ip,
  ip6,
  masquerade,
  meta,
  returns,
  snatByMap,
  transport,
  udp,
  vxlan,
} from "../../linux/netlink/nftables/statements.js";
import type { ChainHook } from "../../linux/netlink/nftables/transaction.js";
import { PASS_MARK, PUBLISHED_MARK, QUIET_GROUP } from "./wanted.js";

/** A chain and its rules. */
export interface ChainRules {
  readonly chain: string;
  readonly at?: ChainHook;
  readonly comment: string;
  readonly rules: readonly (readonly Statement[])[];
}

const NFPROTO_IPV6 = 10;
const fromUs = meta.iifname.isIn("bridges");
const intoUs = meta.oifname.isIn("bridges");
const fromTo = concat(meta.iifname, meta.oifname);
const byTunnel = meta.iifname.isIn("tunnels");
const withinOne = fromTo.isIn("within");
/** By a rule of ours, not by somebody else's. */
const isPublished: readonly Statement[] = [
  ct.mark.masks(PUBLISHED_MARK, PUBLISHED_MARK),
  ct.status.hasAnyOf(CT_STATUS.dnat),
];
/** What comes out of a packet of an overlay network still has the packet's mark. */
const unmarked = meta.mark.clearBits(PASS_MARK);
const overlay = [udp.dport, vxlan.vni] as const;
const isNeighborDiscovery = icmpv6.type.isBetween(ICMPV6_TYPE.neighborSolicitation, ICMPV6_TYPE.neighborAdvertisement);
const isEstablished = ct.state.hasAnyOf(CT_STATE.established | CT_STATE.related);
const versions = [
  { version: 4, field: ip, ofVersion: meta.nfproto.is(2) },
  { version: 6, field: ip6, ofVersion: meta.nfproto.is(NFPROTO_IPV6) },
] as const;
const linked = versions.map(({ version, field }) =>
  concat(field.saddr, field.daddr, meta.l4proto, transport.dport).isIn(`linked${version}`),
);
const linkedBack = versions.map(({ version, field }) =>
  concat(field.daddr, field.saddr, meta.l4proto, transport.sport).isIn(`linked${version}`),
);

/** Chains that others jump to stand before them. */
export const inetChains: readonly ChainRules[] = [
  {
    chain: "pass",
    comment: "pontoon: lets pass, so that whoever else filters can tell",
    rules: [[meta.mark.setBits(PASS_MARK), accept]],
  },
  {
    chain: "quiet",
    comment: "pontoon: within a network whose icc is off",
    rules: [
      [isEstablished, goto("pass")],
      ...linked.map((isLinked) => [isLinked, goto("pass")]),
      [isNeighborDiscovery, goto("pass")],
      [drop],
    ],
  },
  {
    chain: "inward",
    comment: "pontoon: what does not come from a network",
    rules: [
      [...isPublished, goto("pass")],
      [meta.oifname.isNotIn("bridges"), accept],
      [meta.oifname.isIn("internal"), drop],
      [isEstablished, goto("pass")],
      [meta.iifname.isIn("others"), drop],
      // To an endpoint for whose address the host answers there.
      [meta.nfproto.is(NFPROTO_IPV6), fromTo.isIn("reached"), goto("pass")],
      // By somebody's own rule, which is not ours to open further.
      [ct.status.hasAnyOf(CT_STATUS.dnat), accept],
      [drop],
    ],
  },
  {
    chain: "forward",
    // Before Docker's, ufw's and firewalld's, which see the mark.
    at: { type: "filter", hook: "forward", priority: -10 },
    comment: "pontoon: what passes from, to and between networks",
    rules: [
      // First what there is most of: by one look-up, where IP's rules are asked about what is bridged.
      [fromTo.isIn("icc"), goto("pass")],
      [meta.iifname.isNotIn("bridges"), goto("inward")],
      [unmarked],
      [...isPublished, goto("pass")],
      [fromTo.isIn("quiet"), goto("quiet")],
      [meta.iifname.isIn("internal"), drop],
      [meta.oifname.isIn("internal"), drop],
      [isEstablished, goto("pass")],
      // Not known, so not translated: it would leave with an address of the network's.
      [ct.state.hasAnyOf(CT_STATE.invalid), drop],
      [intoUs, drop],
      // To a port that Docker has published: its own rules say who may.
      [meta.oifname.isIn("others"), ct.status.hasAnyOf(CT_STATUS.dnat), accept],
      [meta.oifname.isIn("others"), drop],
      [goto("pass")],
    ],
  },
  {
    chain: "unpublished",
    comment: "pontoon: not a port of ours",
    rules: [[ct.mark.clearBits(PUBLISHED_MARK)]],
  },
  { chain: "publish", comment: "pontoon: published ports", rules: publishing() },
  {
    chain: "prerouting",
    // After the host's own translation (-100), as the proxy's socket would be.
    at: { type: "nat", hook: "prerouting", priority: -90 },
    comment: "pontoon: published ports, for others",
    rules: [
      [meta.iifname.isIn("proxied"), returns],
      [fib.daddrType.is(ADDRESS_KIND.local), goto("publish")],
    ],
  },
  {
    chain: "output",
    at: { type: "nat", hook: "output", priority: -90 },
    comment: "pontoon: published ports, for the host",
    rules: [[fib.daddrType.is(ADDRESS_KIND.local), goto("publish")]],
  },
  {
    chain: "postrouting",
    // Before the host's own (100): an address that was asked for counts.
    at: { type: "nat", hook: "postrouting", priority: 90 },
    comment: "pontoon: what leaves networks",
    rules: [
      // Its answers must come back this way.
      [...isPublished, withinOne, masquerade],
      [intoUs, returns],
      ...versions.map(({ version, field }) => [snatByMap(concat(field.saddr), `snat${version}`, version)]),
      ...versions.map(({ version, field }) => [field.saddr.isIn(`masqueraded${version}`), masquerade]),
    ],
  },
];

/** Besides, while there are overlay networks: nobody else pays for them. */
export const overlayChains: readonly ChainRules[] = [
  {
    chain: "input",
    at: { type: "filter", hook: "input", priority: -10 },
    comment: "pontoon: packets of overlay networks, from hosts that are on them",
    rules: [
      // First those that are let in, by one look-up.
      ...versions.map(({ version, field }) => [
        concat(field.saddr, ...overlay).isIn(`members${version}`),
        goto("pass"),
      ]),
      [byTunnel, concat(ip6.saddr, ...overlay).isIn("tunneled6"), goto("pass")],
      // No other service of this host is for those who have a tunnel to it.
      [byTunnel, drop],
      // From nobody who is on it, or in plain of one that is encrypted.
      [concat(...overlay).isIn("overlays"), drop],
      [fromUs, unmarked],
      ...versions.map(({ version, field }) => [
        udp.dport.isIn("tunnel_ports"),
        field.saddr.isIn(`hosts${version}`),
        goto("pass"),
      ]),
    ],
  },
];

/** The mark is set before the translation, which ends the chain, and taken back when there was none. */
function publishing(): Statement[][] {
  const port = [meta.l4proto, transport.dport] as const;
  return [
    [ip.daddr.isWithin("127.0.0.0", 8), returns],
    [ip6.daddr.is("::1"), returns],
    // Such a client's packets may not leave the link.
    [ip6.daddr.isWithin("fe80::", 10), returns],
    [ct.mark.setBits(PUBLISHED_MARK)],
    ...["_at", ""].flatMap((where) => [
      ...versions.map(({ version, field, ofVersion }) => {
        const key = where === "" ? port : ([field.daddr, ...port] as const);
        return [
          ofVersion,
          concat(...key).isIn(`limited${where}${version}`),
          concat(...key, field.saddr).isNotIn(`allowed${where}${version}`),
          goto("unpublished"),
        ];
      }),
      ...versions.map(({ version, field, ofVersion }) => {
        const key = where === "" ? port : ([field.daddr, ...port] as const);
        return [ofVersion, dnatByMap(concat(...key), `published${where}${version}`, version)];
      }),
    ]),
    [goto("unpublished")],
  ];
}

export const bridgeChains: readonly ChainRules[] = [
  {
    chain: "forward",
    at: { type: "filter", hook: "forward", priority: -200 },
    comment: "pontoon: between endpoints of networks whose icc is off",
    rules: [
      [meta.iifgroup.isNot(QUIET_GROUP), accept],
      [meta.oifgroup.isNot(QUIET_GROUP), accept],
      [meta.protocol.is(ETHERTYPE_ARP), accept],
      [isNeighborDiscovery, accept],
      ...[...linked, ...linkedBack].map((isLinked) => [isLinked, accept]),
      [drop],
    ],
  },
];
