import type { InterfaceAddress, Route } from "../../../linux/netlink/rtnetlink/addresses.js";
import type { Link } from "../../../linux/netlink/rtnetlink/links.js";
import type { NeighbourProxy } from "../../../linux/netlink/rtnetlink/neighbours.js";
import type { LinkQueue } from "../../../linux/netlink/rtnetlink/queues.js";
import type { RoutingRule } from "../../../linux/netlink/rtnetlink/rules.js";
import type { Seen, SeenSandbox } from "../../seen.js";
import { aliasOf, overlayGroup } from "../../wanted.js";
import { isSameAddress, isSameRoute, isSameRule } from "../same.js";
import type { Step } from "../steps.js";

type Changeable<Type> = { -readonly [Key in keyof Type]: Type[Key] };
export type ModelLink = Changeable<Link>;
type StepOf<Kind extends Step["kind"]> = Step & { readonly kind: Kind };

/** A namespace as the model has it. Links are numbered in each, as in the kernel. */
export class ModelSpace {
  readonly links = new Map<string, ModelLink>();
  readonly addresses = new Map<number, InterfaceAddress[]>();
  routes: Route[] = [];
  rules: RoutingRule[] = [];
  #lastIndex = 1;

  constructor(readonly inode: number) {}

  add(link: Pick<Link, "name" | "kind"> & Partial<Link>): ModelLink {
    if (this.links.has(link.name)) throw new Error(`EEXIST: link ${link.name}`);
    const defaults = { isUp: false, mtu: 1500, mac: "02:00:00:00:00:00", master: undefined, peer: undefined };
    const made = { ...defaults, alias: undefined, group: 0, bridge: undefined, index: ++this.#lastIndex, ...link };
    this.links.set(made.name, made);
    this.addresses.set(made.index, []);
    return made;
  }

  link(name: string): ModelLink {
    const link = this.links.get(name);
    if (!link) throw new Error(`ENODEV: link ${name}`);
    return link;
  }

  at(index: number): ModelLink | undefined {
    return [...this.links.values()].find((link) => link.index === index);
  }

  rename(link: ModelLink, name: string): void {
    if (link.name === name) return;
    if (this.links.has(name)) throw new Error(`EEXIST: link ${name}`);
    this.links.delete(link.name);
    link.name = name;
    this.links.set(name, link);
  }

  down(link: ModelLink): void {
    link.isUp = false;
    this.routes = this.routes.filter((route) => route.link !== link.index);
  }

  delete(link: ModelLink): void {
    this.down(link);
    this.addresses.delete(link.index);
    this.links.delete(link.name);
  }
}

/** A small model of the kernel: carries steps out, and refuses what the kernel would refuse. */
export class Model {
  readonly host = new ModelSpace(1);
  readonly spaces = new Map<string, ModelSpace>();
  proxies: NeighbourProxy[] = [];
  readonly answering = new Set<string>();
  /** Of links of the host. */
  readonly queues = new Map<number, LinkQueue>();
  #lastInode = 100;

  constructor() {
    this.host.add({ name: "uplink", kind: undefined }); // indices in the host are others than in sandboxes
  }

  space(path: string): ModelSpace {
    const space = this.spaces.get(path);
    if (!space) throw new Error(`ENOENT: ${path}`);
    return space;
  }

  makeSpace(path: string): ModelSpace {
    if (this.spaces.has(path)) throw new Error(`EEXIST: ${path}`);
    const space = new ModelSpace(++this.#lastInode);
    this.spaces.set(path, space);
    return space;
  }

  /** As looking at the kernel has it. */
  seen(sandboxes: Iterable<{ readonly id: string; readonly path: string; readonly inode: number | undefined }>): Seen {
    const inside = (path: string, inode: number | undefined): SeenSandbox => {
      const space = this.spaces.get(path);
      if (!space) return { kind: "gone" };
      if (inode !== undefined && inode !== space.inode) return { kind: "other", inode: space.inode };
      return structuredClone({ kind: "there", ...copyOf(space), links: [...space.links.values()] });
    };
    return {
      host: structuredClone({
        links: this.host.links,
        addresses: this.host.addresses,
        routes: this.host.routes,
        proxies: this.proxies,
        answering: this.answering,
        queues: this.queues,
      }),
      taken: new Set(),
      sandboxes: new Map([...sandboxes].map(({ id, path, inode }) => [id, inside(path, inode)])),
    };
  }

  apply(step: Step): void {
    switch (step.kind) {
      case "make-namespace":
        return void this.makeSpace(step.sandbox.path);
      case "link-namespace":
        return void this.spaces.set(step.sandbox.path, this.space(step.sandbox.target!));
      case "raise-loopback":
        return void Object.assign(this.space(step.sandbox.path).links.get("lo") ?? {}, { isUp: true });
      case "remove-namespace":
        return this.#removeSpace(step.path);
      case "remove-rules": {
        const space = this.space(step.sandbox.path);
        space.rules = space.rules.filter((rule) => !step.rules.some((other) => isSameRule(other, rule)));
        return;
      }
      case "make-bridge":
        return void this.host.add({ name: step.network.bridge, kind: "bridge", ...withMac(step.network.mac) });
      case "set-bridge": {
        const { network } = step;
        const link = this.host.link(network.bridge);
        const { mac = link.mac, mtu } = network;
        Object.assign(link, { isUp: true, mac, mtu, alias: aliasOf.network(network) });
        return;
      }
      case "raise-bridge":
        return void Object.assign(this.host.link(step.bridge), { isUp: true });
      case "add-bridge-address":
        return void this.host.addresses.get(this.host.link(step.bridge).index)!.push(step.address);
      case "delete-bridge-address": {
        const { index } = this.host.link(step.bridge);
        const left = this.host.addresses.get(index)!.filter((address) => !isSameAddress(address, step.address));
        return void this.host.addresses.set(index, left);
      }
      case "delete-link":
        return this.deleteLink(this.host.link(step.link));
      case "make-vxlan": {
        const { link: name, vni, local, port } = step.overlay;
        const { mtu } = step.network;
        return void this.host.add({ name, kind: "vxlan", mtu, vxlan: { vni, local, port }, isQuietPort: false });
      }
      case "set-vxlan": {
        const { network, overlay } = step;
        const { index: master } = this.host.link(network.bridge);
        const [alias, group] = [aliasOf.overlay(network), overlayGroup(network)];
        const link = this.host.link(overlay.link);
        return void Object.assign(link, { alias, group, master, mtu: network.mtu, isUp: true, isQuietPort: true });
      }
      case "make-vlan":
        return void this.#makeChild(
          this.host,
          step.of,
          { name: step.parent, kind: "vlan", isUp: true },
          aliasOf.vlan(step.parent),
        );
      case "make-access": {
        const { bridge: name, mac } = step.network;
        const { parent, child } = step.lan;
        return void this.#makeChild(this.host, parent, { name, kind: child.kind, mac }, aliasOf.network(step.network));
      }
      case "make-handover-child": {
        const { peer: name, mac, mtu } = step.handover;
        const { parent, child } = step.lan;
        return void this.#makeChild(
          this.host,
          parent,
          { name, kind: child.kind, mac, mtu },
          aliasOf.handed(step.handover),
        );
      }
      case "make-child": {
        const { ifname: name, mac, mtu } = step.endpoint;
        const { parent, child } = step.lan;
        const space = this.space(step.sandbox.path);
        return void this.#makeChild(space, parent, { name, kind: child.kind, mac, mtu }, aliasOf.inside(step.endpoint));
      }
      case "make-pair": {
        const [one, other] = step.ends.map(({ endpoint: { ifname: name, mac, mtu }, sandbox }) =>
          this.space(sandbox.path).add({ name, kind: "veth", ...withMac(mac), mtu }),
        );
        [one!.peer, other!.peer] = [other!.index, one!.index];
        for (const { endpoint, sandbox } of step.ends)
          this.space(sandbox.path).link(endpoint.ifname).alias = aliasOf.inside(endpoint);
        return;
      }
      case "take-link": {
        const { hostLink, ifname, mac: wanted } = step.endpoint;
        const { kind, mtu, mac, peer } = this.host.link(hostLink);
        this.host.delete(this.host.link(hostLink));
        const alias = aliasOf.inside(step.endpoint);
        return void this.space(step.sandbox.path).add({ name: ifname, kind, mtu, peer, alias, mac: wanted ?? mac });
      }
      case "give-back": {
        const space = this.space(step.inside.path);
        const link = space.at(step.inside.index)!;
        const { kind, mtu, mac, peer } = link;
        space.delete(link);
        return void this.host.add({ name: step.name, kind, mtu, mac, peer });
      }
      case "delete-inside": {
        const { path, index, rules } = step.inside;
        const space = this.space(path);
        space.rules = space.rules.filter((rule) => !rules.some((other) => isSameRule(other, rule)));
        const link = space.at(index);
        if (!link) throw new Error(`ENODEV: ${index}`);
        for (const other of this.spaces.values()) {
          const end = link.kind === "veth" && other !== space ? other.at(link.peer!) : undefined;
          if (end?.peer === index) other.delete(end);
        }
        return space.delete(link);
      }
      case "add-host-route":
        return void this.host.routes.push(this.#hostRoute(step));
      case "delete-host-route": {
        const gone = this.#hostRoute(step);
        this.host.routes = this.host.routes.filter((route) => route.link !== gone.link || !isSameRoute(route, gone));
        return;
      }
      case "make-veth":
        return this.#makeVeth(step);
      case "make-handover": {
        const { hostLink, peer, mac, mtu } = step.handover;
        const link = this.host.add({ name: hostLink, kind: "veth", mtu });
        link.peer = this.host.add({ name: peer, kind: "veth", ...withMac(mac), mtu, peer: link.index }).index;
        return;
      }
      case "set-inside":
        return this.#setInside(step);
      case "attach":
        return this.#attach(step);
      case "limit-rate": {
        const { rate, limit } = step.bucket;
        return this.#changeQueue(step.link, { bucket: { rate, limit } });
      }
      case "make-shaper": {
        const { shaper: name, alias } = step;
        return void Object.assign(this.host.links.get(name) ?? this.host.add({ name, kind: "ifb" }), {
          alias,
          isUp: true,
        });
      }
      case "redirect":
        return this.#changeQueue(step.link, { redirectedTo: this.host.link(step.shaper).index });
      case "end-redirect":
        return this.#changeQueue(step.link, { redirectedTo: undefined });
      case "answer-for-others":
        return void this.answering.add(step.link);
      case "end-answering":
        return void this.answering.delete(step.link);
      case "add-proxy":
        return void this.proxies.push({ link: this.host.link(step.link).index, ip: step.ip, isOurs: true });
      case "delete-proxy": {
        const { index } = this.host.link(step.link);
        this.proxies = this.proxies.filter(({ link, ip }) => link !== index || ip !== step.ip);
        return;
      }
      case "retire":
        return this.#retire(step);
    }
  }

  #changeQueue(name: string, change: Partial<LinkQueue>): void {
    const { index } = this.host.link(name);
    const nothing = { bucket: undefined, redirectedTo: undefined };
    this.queues.set(index, { ...(this.queues.get(index) ?? nothing), ...change });
  }

  #makeChild(
    space: ModelSpace,
    parent: string,
    {
      mac = "02:00:00:00:00:01",
      ...link
    }: { name: string; kind: string; mac?: string | undefined; mtu?: number; isUp?: boolean },
    alias: string,
  ): void {
    space.add({ ...link, mac, alias, peer: this.host.link(parent).index });
  }

  #hostRoute({ link, ip }: { link: string; ip: string }): Route {
    const destination = { ip, prefix: ip.includes(":") ? 128 : 32 };
    return { destination, gateway: undefined, link: this.host.link(link).index, table: 254 };
  }

  /** With its other end, wherever that is. */
  deleteLink(link: ModelLink): void {
    const endIn = (space: ModelSpace) => {
      const end = link.peer === undefined ? undefined : space.at(link.peer);
      return end?.peer === link.index ? end : undefined;
    };
    const space = [...this.spaces.values(), this.host].find(endIn);
    if (space) space.delete(endIn(space)!);
    this.host.delete(link);
  }

  #removeSpace(path: string): void {
    const space = this.spaces.get(path);
    this.spaces.delete(path);
    if (!space || [...this.spaces.values()].includes(space)) return;
    for (const end of space.links.values()) {
      const link = end.peer === undefined ? undefined : this.host.at(end.peer);
      if (link?.peer === end.index) this.host.delete(link);
    }
  }

  #makeVeth({ endpoint: { hostLink, ifname, mac, mtu }, sandbox }: StepOf<"make-veth">): void {
    const space = this.space(sandbox.path);
    if (space.links.has(ifname)) throw new Error(`EEXIST: link ${ifname}`);
    const link = this.host.add({ name: hostLink, kind: "veth", mtu });
    const end = space.add({ name: ifname, kind: "veth", ...withMac(mac), mtu, peer: link.index });
    link.peer = end.index;
  }

  #setInside(step: StepOf<"set-inside">): void {
    const { endpoint, sandbox, end: known, remove, add } = step;
    const space = this.space(sandbox.path);
    const end = known === undefined ? space.link(endpoint.ifname) : space.at(known);
    if (!end) throw new Error(`ENODEV: ${known}`);
    space.rename(end, endpoint.ifname);
    const [{ index }, own] = [end, space.addresses.get(end.index)!];
    const without = <Item>(all: readonly Item[], gone: (item: Item) => boolean) => all.filter((item) => !gone(item));
    space.rules = without(space.rules, (rule) => remove.rules.some((other) => isSameRule(other, rule)));
    space.routes = without(
      space.routes,
      (route) => route.link === index && remove.routes.some((other) => isSameRoute(other, route)),
    );
    const addresses = without(own, (address) => remove.addresses.some((other) => isSameAddress(other, address)));
    space.addresses.set(index, [...addresses, ...add.addresses]);
    const { mtu, mac = end.mac } = endpoint;
    Object.assign(end, {
      isUp: true,
      ...(mtu > 0 && { mtu }),
      mac,
      ...(step.alias !== undefined && { alias: step.alias }),
    });
    for (const route of add.routes) {
      // As NLM_F_REPLACE has it: one route to a destination in a table.
      space.routes = without(
        space.routes,
        ({ destination, table }) => table === route.table && isSameAddress(destination, route.destination),
      );
      space.routes.push({ ...route, link: index });
    }
    for (const rule of add.rules) if (!space.rules.some((other) => isSameRule(other, rule))) space.rules.push(rule);
  }

  #attach({ port, bridge }: StepOf<"attach">): void {
    const { hostLink, mtu, group, alias } = port;
    const master = this.host.link(bridge).index;
    Object.assign(this.host.link(hostLink), { isUp: true, master, mtu, group, alias });
  }

  #retire({ index, inside }: StepOf<"retire">): void {
    const link = this.host.at(index);
    if (!link) throw new Error(`ENODEV: ${index}`);
    if (inside) {
      const { rules } = inside;
      const space = this.space(inside.path);
      space.rules = space.rules.filter((rule) => !rules.some((other) => isSameRule(other, rule)));
    }
    this.deleteLink(link);
  }
}

const withMac = (mac: string | undefined) => (mac === undefined ? {} : { mac });

function copyOf({ inode, addresses, routes, rules }: ModelSpace) {
  return { inode, addresses, routes, rules };
}
