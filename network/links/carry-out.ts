import { isNamespace, linkNamespace, makeNamedNamespace, removeNamedNamespace } from "../../linux/named-namespace.js";
import { closeSync, openSync } from "node:fs";
import { addressBits, familyOf } from "../../common/address.js";
import {
  addAddress,
  addRoute,
  deleteAddress,
  deleteRoute,
  mainTable,
  type Route,
} from "../../linux/netlink/rtnetlink/addresses.js";
import {
  changeLink,
  deleteGroup,
  deleteLink,
  linkNamed,
  newBridge,
  newVeth,
  type Link,
} from "../../linux/netlink/rtnetlink/links.js";
import { addRule, deleteRule, type RoutingRule } from "../../linux/netlink/rtnetlink/rules.js";
import type { NetlinkError } from "../../linux/netlink/nfnetlink.js";
import { Rtnetlink, type RtRequest } from "../../linux/netlink/rtnetlink/rtnetlink.js";
import { addProxy, deleteProxy } from "../../linux/netlink/rtnetlink/neighbours.js";
import { ignoreRouters, setAnswersForOthers, setIPv6 } from "../../linux/network-settings.js";
import { errorCode, PontoonError } from "../../common/errors.js";
import type { RetiredEnd, Step } from "../plan/steps.js";
import {
  aliasOf,
  retiredGroup,
  type WantedEndpoint,
  type WantedHandover,
  type WantedNetwork,
  type WantedSandbox,
} from "../wanted.js";
import { limitRate } from "./limit-rate.js";
import { inNamespaceOf } from "./look.js";
import { giveBack, takeLink } from "./remote-link.js";
import { makeChild, makePair, requireInode, withMac } from "./make-child.js";
import { makeVxlan } from "./make-vxlan.js";

type StepOf<Kind extends Step["kind"]> = Step & { readonly kind: Kind };

/** Carries out steps in the kernel. */
export class Links {
  /** For {@link deleteRetiredAside} alone. */
  readonly #aside = new Rtnetlink();

  /** @param host rtnetlink of the host's namespace, which the calling thread is in */
  constructor(private readonly host: Rtnetlink) {}

  /** Throws NetlinkError, LinuxError or PontoonError. */
  carryOut(step: Step): void {
    switch (step.kind) {
      case "make-namespace":
        return named(step.sandbox, () => this.#makeNamespace(step.sandbox));
      case "link-namespace":
        return named(step.sandbox, () => linkNamespace(step.sandbox.path, step.sandbox.target!));
      case "raise-loopback":
        return raiseLoopback(step.sandbox);
      case "remove-namespace":
        return removeNamedNamespace(step.path);
      case "remove-rules":
        return removeRules(step.sandbox, step.rules);
      case "make-bridge":
        return this.host.request(newBridge({ name: step.network.bridge, ...withMac(step.network.mac) }));
      case "set-bridge":
        return this.#setBridge(step.network);
      case "raise-bridge":
        return this.host.request(changeLink(step.bridge, { isUp: true }));
      case "add-bridge-address":
        return this.host.request(addAddress(this.#link(step.bridge).index, step.address));
      case "delete-bridge-address":
        return this.host.request(deleteAddress(this.#link(step.bridge).index, step.address));
      case "delete-link":
        // The kernel takes links away with their namespace, and meanwhile.
        return requireDone(this.host.requestEach([deleteLink(step.link)]), ["ENODEV"]);
      case "make-vxlan":
      case "set-vxlan":
        return makeVxlan(this.host, step);
      case "make-vlan":
      case "make-access":
      case "make-child":
      case "make-handover-child":
        return makeChild(this.host, step);
      case "make-pair":
        return makePair(this.host, step.ends);
      case "take-link":
        return takeLink(this.host, step.endpoint, step.sandbox);
      case "give-back":
        return giveBack(this.host, step.name, step.inside);
      case "delete-inside":
        return deleteInside(step.inside);
      case "add-host-route":
      case "delete-host-route": {
        const route = hostRoute(this.#link(step.link).index, step.ip);
        return this.host.request(step.kind === "add-host-route" ? addRoute(route) : deleteRoute(route));
      }
      case "make-veth":
        return this.#makeVeth(step.endpoint, step.sandbox);
      case "make-handover":
        return this.#makeHandover(step.handover);
      case "set-inside":
        return setInside(step);
      case "attach":
        return this.#attach(step);
      case "limit-rate":
      case "make-shaper":
      case "redirect":
      case "end-redirect":
        return limitRate(this.host, step);
      case "answer-for-others":
      case "end-answering":
        return setAnswersForOthers(step.link, step.kind === "answer-for-others");
      case "add-proxy":
        return this.host.request(addProxy(this.#link(step.link).index, step.ip));
      case "delete-proxy":
        return requireDone(this.host.requestEach([deleteProxy(this.#link(step.link).index, step.ip)]), goneAlready);
      case "retire":
        return this.#retire(step.index, step.inside);
    }
  }

  /** Closes what belongs to it. Can be called once. */
  close(): void {
    this.#aside.close();
  }

  /** As {@link deleteRetired}, in another thread: others of the host wait for the kernel's lock a part of that time only. */
  async deleteRetiredAside(): Promise<void> {
    const failure = await this.#aside.requestAside(deleteGroup(retiredGroup));
    if (failure && failure.code !== "ENODEV") throw failure;
  }

  /** Deletes what was retired: some 20 ms, however many there are. */
  deleteRetired(): void {
    const [failure] = this.host.requestEach([deleteGroup(retiredGroup)]);
    if (failure && failure.error.code !== "ENODEV") throw failure.error;
  }

  /** Without IPv6, until an endpoint has it: links cost the kernel less. */
  #makeNamespace({ path, isFirst = false }: WantedSandbox): void {
    const work = () => {
      for (const which of ["all", "default"]) setIPv6(which, false);
      const rtnetlink = new Rtnetlink();
      try {
        rtnetlink.request(changeLink("lo", { isUp: true }));
      } finally {
        rtnetlink.close();
      }
    };
    // For the first time an empty file is that of somebody who is about to mount another namespace there.
    makeNamedNamespace(path, work, { takesEmptyFile: !isFirst });
  }

  #setBridge(network: WantedNetwork): void {
    const { bridge, mac, mtu, hasIPv6 } = network;
    setIPv6(bridge, hasIPv6);
    ignoreRouters(bridge);
    this.host.request(changeLink(bridge, { alias: aliasOf.network(network), ...withMac(mac), mtu, isUp: true }));
  }

  /** IPv6 on the port of a bridge does nothing but slow the kernel down, more with each. To turn it off is quick while no end is up. */
  #makeVeth({ hostLink, ifname, mac, mtu }: WantedEndpoint, { path, inode }: WantedSandbox): void {
    // The peer is born inside, so that the host never has a link of that name.
    const namespace = openSync(path, "r");
    try {
      requireInode(namespace, path, inode);
      this.host.request(newVeth({ name: hostLink, mtu }, { name: ifname, ...withMac(mac), mtu, namespace }));
      setIPv6(hostLink, false);
    } finally {
      closeSync(namespace);
    }
  }

  /** The engine finds the other end by its name, and moves it. */
  #makeHandover({ hostLink, peer, mac, mtu }: WantedHandover): void {
    this.host.request(newVeth({ name: hostLink, mtu }, { name: peer, ...withMac(mac), mtu }));
    setIPv6(hostLink, false);
  }

  #attach({ port: { hostLink, mtu, group, alias }, bridge }: StepOf<"attach">): void {
    const master = this.#link(bridge).index;
    const attach = () => this.host.request(changeLink(hostLink, { alias, master, mtu, group, isUp: true }));
    try {
      attach();
    } catch (error) {
      if (errorCode(error) !== "EXFULL") throw error;
      this.deleteRetired(); // they had the bridge's last places
      attach();
    }
  }

  /**
   * Its other end is set down, which is as good as taking it out of the bridge: that would have the kernel wait for all its CPUs
   * twice more. The group comes last: by that it had until now, neighbours may be kept from one another.
   */
  #retire(index: number, inside: RetiredEnd | undefined): void {
    let isCutOff = false;
    try {
      if (inside) retireInside(inside);
      isCutOff = inside !== undefined;
    } finally {
      const down = isCutOff ? {} : { isUp: false, master: 0 };
      const [failure] = this.host.requestEach([changeLink(index, { ...down, group: retiredGroup })]);
      // The kernel takes links away with their namespace, and meanwhile.
      if (failure && failure.error.code !== "ENODEV") throw failure.error;
    }
  }

  #link(name: string): Link {
    const link = linkNamed(this.host, name);
    if (link) return link;
    throw new PontoonError("NO_LINK", name, `there is no link ${name} on this host`);
  }
}

/** Names are answered at an address of it. Not of a process that has ended. */
function raiseLoopback(sandbox: WantedSandbox): void {
  if (!isNamespace(sandbox.path)) return;
  inNamespaceOf(sandbox, (rtnetlink) => rtnetlink.request(changeLink("lo", { isUp: true })));
}

function setInside({ endpoint, sandbox, end: known, alias, remove, add }: StepOf<"set-inside">): void {
  inNamespaceOf(sandbox, (rtnetlink) => {
    const { ifname, mtu, mac } = endpoint;
    const index = known ?? requireEnd(rtnetlink, sandbox, ifname).index;
    if (known !== undefined) {
      requireDone(
        rtnetlink.requestEach([
          ...remove.rules.map(deleteRule),
          ...remove.routes.map((route) => deleteRoute({ ...route, link: index })),
          ...remove.addresses.map((address) => deleteAddress(index, address)),
        ]),
        goneAlready, // a default route goes as soon as another endpoint gets it
      );
      rtnetlink.request(
        ...renaming(rtnetlink, index, ifname),
        changeLink(index, { ...(mtu > 0 && { mtu }), ...withMac(mac) }),
      );
    }
    if (alias !== undefined) rtnetlink.request(changeLink(index, { alias }));
    if (endpoint.addresses.some(({ ip }) => familyOf(ip) === "ipv6"))
      for (const link of ["lo", ifname]) setIPv6(link, true);
    rtnetlink.request(
      changeLink(index, { isUp: true }),
      ...add.addresses.map((address) => addAddress(index, address)),
      ...add.routes.map((route) => addRoute({ ...route, link: index })),
    );
    // One that all ways out share may have been added with another endpoint.
    requireDone(rtnetlink.requestEach(add.rules.map(addRule)), ["EEXIST"]);
  });
}

/** What gives a link a name that it does not have. Kernels before 6.2 rename no link that is up. */
function renaming(rtnetlink: Rtnetlink, index: number, name: string): RtRequest[] {
  if (linkNamed(rtnetlink, name)?.index === index) return [];
  return [changeLink(index, { isUp: false }), changeLink(index, { name })];
}

function requireEnd(rtnetlink: Rtnetlink, { name }: WantedSandbox, ifname: string): Link {
  const end = linkNamed(rtnetlink, ifname);
  if (end) return end;
  throw new PontoonError("NO_LINK", ifname, `there is no link ${ifname} in sandbox ${name}`);
}

/** Out of the way of one that comes in its place: without name, addresses and routes. */
function retireInside({ path, inode, index, rules }: RetiredEnd): void {
  inNamespaceOf({ path, inode }, (rtnetlink) => {
    requireDone(
      rtnetlink.requestEach([
        changeLink(index, { isUp: false }),
        changeLink(index, { name: retiredName(index) }),
        ...rules.map(deleteRule),
      ]),
      goneAlready,
    );
  });
}

/** At once: nobody waits for a link that has no other end. */
function deleteInside({ path, inode, index, rules }: RetiredEnd): void {
  inNamespaceOf({ path, inode }, (rtnetlink) =>
    requireDone(rtnetlink.requestEach([deleteLink(index), ...rules.map(deleteRule)]), goneAlready),
  );
}

function hostRoute(link: number, ip: string): Route {
  return { destination: { ip, prefix: addressBits[familyOf(ip)] }, gateway: undefined, link, table: mainTable };
}

function removeRules(sandbox: WantedSandbox, rules: readonly RoutingRule[]): void {
  inNamespaceOf(sandbox, (rtnetlink) => requireDone(rtnetlink.requestEach(rules.map(deleteRule)), goneAlready));
}

/** How the kernel says that a link, a rule, a route or an address is not there. */
const goneAlready = ["ENODEV", "ENOENT", "ESRCH", "EADDRNOTAVAIL"] as const;

/** Throws the first failure that is not one of these. */
function requireDone(failures: readonly { readonly error: NetlinkError }[], except: readonly string[]): void {
  const failure = failures.find(({ error }) => !except.includes(error.code));
  if (failure) throw failure.error;
}

/** Runs what gives a namespace its name. Throws NAME_TAKEN when it has been given to another meanwhile. */
function named({ name, path, isFirst = false }: WantedSandbox, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!isFirst || errorCode(error) !== "EEXIST") throw error;
    const message = `there is a network namespace ${name} by now (${path}), which somebody else has made; choose another name`;
    throw new PontoonError("NAME_TAKEN", path, message, { cause: error });
  }
}

const retiredName = (index: number): string => `ptx${index}`;
