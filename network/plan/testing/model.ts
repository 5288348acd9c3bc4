import type { InterfaceAddress, Route } from "../../../linux/netlink/rtnetlink/addresses.js";
import type { Link } from "../../../linux/netlink/rtnetlink/links.js";
import type { RoutingRule } from "../../../linux/netlink/rtnetlink/rules.js";
import type { Seen, SeenSandbox } from "../../seen.js";
import { aliasOf } from "../../wanted.js";
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
      host: structuredClone({ links: this.host.links, addresses: this.host.addresses }),
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
        return void this.host.add({ name: step.network.bridge, kind: "bridge", mac: step.network.mac });
      case "set-bridge": {
        const { network } = step;
        const { mac, mtu } = network;
        Object.assign(this.host.link(network.bridge), { isUp: true, mac, mtu, alias: aliasOf.network(network) });
        return;
      }
      case "add-bridge-address":
        return void this.host.addresses.get(this.host.link(step.bridge).index)!.push(step.address);
      case "delete-link":
        return this.deleteLink(this.host.link(step.link));
      case "make-veth":
        return this.#makeVeth(step);
      case "set-inside":
        return this.#setInside(step);
      case "attach":
        return this.#attach(step);
      case "retire":
        return this.#retire(step);
    }
  }

  /** With its other end, wherever that is. */
  deleteLink(link: ModelLink): void {
    for (const space of new Set(this.spaces.values())) {
      const end = link.peer === undefined ? undefined : space.at(link.peer);
      if (end?.peer === link.index) space.delete(end);
    }
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
    const end = space.add({ name: ifname, kind: "veth", mac, mtu, peer: link.index });
    link.peer = end.index;
  }

  #setInside({ endpoint, sandbox, end: known, remove, add }: StepOf<"set-inside">): void {
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
    Object.assign(end, { isUp: true, mtu: endpoint.mtu, mac: endpoint.mac });
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

  #attach({ endpoint, bridge }: StepOf<"attach">): void {
    const { hostLink, mtu, group } = endpoint;
    const master = this.host.link(bridge).index;
    Object.assign(this.host.link(hostLink), { isUp: true, master, mtu, group, alias: aliasOf.endpoint(endpoint) });
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

function copyOf({ inode, addresses, routes, rules }: ModelSpace) {
  return { inode, addresses, routes, rules };
}
