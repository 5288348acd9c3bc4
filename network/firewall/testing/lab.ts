import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { familyOf, formatAddress, type SocketAddress } from "../../../common/address.js";
import { encodeAddress } from "../../../linux/address.js";
import { sendDatagram } from "../../../linux/datagram.js";
import { insideNamespace } from "../../../linux/netns.js";
import { bindSocket, closeDescriptor, connectSocket, sendBytes, udpSocket } from "../../../linux/socket.js";
import { mountPrivately } from "../../../linux/testing/private-mounts.js";
import { receiveFrom } from "../../../linux/testing/received.js";

const patience = 20_000; // ms; only a broken test waits that long
const pause = new Int32Array(new SharedArrayBuffer(4));

/** A bridge of the lab's host; sandbox N of network K has the addresses 10.201.K.N+1 and fd00:K::N+1. */
export interface LabNetwork {
  readonly bridge: string;
  readonly number: number;
  readonly sandboxes: readonly string[];
  /** Group of the links' host ends. */
  readonly group?: number;
}

/** Addresses of the lab's host and of somebody outside, who has routes to all networks by way of the host. */
export const hostAddress = { ipv4: "192.0.2.1", ipv6: "2001:db8::1" } as const;
export const secondAddress = { ipv4: "192.0.2.77", ipv6: "2001:db8::77" } as const;
export const outsideAddress = { ipv4: "192.0.2.9", ipv6: "2001:db8::9" } as const;

/** A socket that waits for datagrams, and where the host reaches it. */
export interface LabServer {
  readonly fd: number;
  readonly address: SocketAddress;
}

/**
 * A host with bridges and sandboxes in namespaces of their own. All sockets belong to this process: a socket is where it
 * was made. The test closes the lab.
 */
export class Lab {
  readonly #prefix = `ptfw${process.pid}-`;
  readonly #spaces: string[] = [];
  readonly #sockets: number[] = [];
  readonly #addresses = new Map<string, { ipv4: string; ipv6: string }>();
  #tokens = 0;

  constructor(networks: readonly LabNetwork[], { bridgeNetfilter = false } = {}) {
    mountPrivately();
    try {
      this.#space("host");
      this.#settings(bridgeNetfilter);
      this.#uplink();
      for (const network of networks) this.#network(network);
      this.#settle();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    for (const fd of this.#sockets.splice(0)) closeDescriptor(fd);
    for (const space of this.#spaces.splice(0)) run("ip", ["netns", "delete", this.#prefix + space]);
  }

  /** See {@link insideNamespace}. */
  inside<Result>(space: string, work: () => Result): Result {
    return insideNamespace(`/run/netns/${this.#prefix}${space}`, undefined, work);
  }

  ip(space: string, ...lines: readonly string[]): void {
    this.inside(space, () => run("ip", ["-batch", "-"], lines.join("\n")));
  }

  address(space: string, family: "ipv4" | "ipv6" = "ipv4"): string {
    return this.#addresses.get(space)![family];
  }

  /** Waits for datagrams at a port of a sandbox, of `outside` or of the host. @param ip undefined: the one others know */
  serve(space: string, port: number, family: "ipv4" | "ipv6" = "ipv4", ip = this.address(space, family)): LabServer {
    return this.inside(space, () => {
      const address = { ip, port };
      const fd = this.#keep(udpSocket(family));
      bindSocket(fd, address);
      return { fd, address };
    });
  }

  /**
   * Sends a datagram, and has it answered.
   * @returns whom the server saw; undefined when it did not come, which is told by one that the host sends after it
   */
  ask(space: string, to: SocketAddress, server: LabServer): string | undefined {
    const client = this.client(space, to);
    const token = this.send(client);
    const seen = this.#arrived(token, server);
    if (seen === undefined) return undefined;
    sendDatagram(server.fd, Buffer.from(`re ${token}`, "latin1"), encodeAddress(seen));
    const answer = this.until(`the answer from ${formatAddress(to)}`, () => receiveFrom(client));
    if (answer.text !== `re ${token}` || answer.from.ip !== to.ip) throw new Error(`answered by ${answer.from.ip}`);
    return seen.ip;
  }

  client(space: string, to: SocketAddress): number {
    return this.inside(space, () => {
      const fd = this.#keep(udpSocket(familyOf(to.ip)));
      connectSocket(fd, to);
      return fd;
    });
  }

  /** @returns what was sent */
  send(client: number): string {
    const token = `token ${++this.#tokens}`;
    try {
      sendBytes(client, Buffer.from(token));
    } catch {
      // An ICMP message that came for an earlier datagram, or a refusal at once.
    }
    return token;
  }

  until<Value>(what: string, look: () => Value | undefined): Value {
    const giveUpAt = performance.now() + patience;
    for (;;) {
      const value = look();
      if (value !== undefined) return value;
      if (performance.now() > giveUpAt) throw new Error(`never happened: ${what}`);
      Atomics.wait(pause, 0, 0, 1);
    }
  }

  #arrived(token: string, server: LabServer): SocketAddress | undefined {
    const client = this.client("host", server.address);
    const last = this.send(client);
    for (;;) {
      const { text, from } = this.until("the host's own datagram", () => receiveFrom(server.fd));
      if (text === token) return from;
      if (text === last) return undefined;
    }
  }

  #keep(fd: number): number {
    this.#sockets.push(fd);
    return fd;
  }

  #space(name: string): void {
    run("ip", ["netns", "add", this.#prefix + name]);
    this.#spaces.push(name);
    this.inside(name, () => writeFileSync("/proc/sys/net/ipv6/conf/default/accept_dad", "0"));
    this.ip(name, "link set lo up");
  }

  #settings(bridgeNetfilter: boolean): void {
    this.inside("host", () => {
      for (const key of ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]) writeFileSync(`/proc/sys/net/${key}`, "1");
      for (const key of ["iptables", "ip6tables"])
        writeFileSync(`/proc/sys/net/bridge/bridge-nf-call-${key}`, bridgeNetfilter ? "1" : "0");
    });
  }

  #uplink(): void {
    this.#space("outside");
    this.ip(
      "host",
      `link add uplink type veth peer name eth0 netns ${this.#prefix}outside`,
      `address add ${hostAddress.ipv4}/24 dev uplink`,
      `address add ${secondAddress.ipv4}/24 dev uplink`,
      `address add ${hostAddress.ipv6}/64 dev uplink nodad`,
      // A source address is chosen among those that are not deprecated.
      `address add ${secondAddress.ipv6}/64 dev uplink nodad preferred_lft 0`,
      "link set uplink up",
    );
    this.ip(
      "outside",
      `address add ${outsideAddress.ipv4}/24 dev eth0`,
      `address add ${outsideAddress.ipv6}/64 dev eth0 nodad`,
      "link set eth0 up",
      `route add 10.201.0.0/16 via ${hostAddress.ipv4}`,
      `route add fd00::/16 via ${hostAddress.ipv6}`,
    );
    this.#addresses.set("outside", outsideAddress).set("host", hostAddress);
  }

  #network({ bridge, number, sandboxes, group = 0 }: LabNetwork): void {
    this.ip(
      "host",
      `link add ${bridge} type bridge mcast_snooping 0`,
      `address add 10.201.${number}.1/24 dev ${bridge}`,
      `address add fd00:${number}::1/64 dev ${bridge} nodad`,
      `link set ${bridge} up`,
    );
    for (const [index, name] of sandboxes.entries()) {
      const address = { ipv4: `10.201.${number}.${index + 2}`, ipv6: `fd00:${number}::${index + 2}` };
      this.#space(name);
      this.#addresses.set(name, address);
      this.ip(
        "host",
        `link add v-${name} group ${group} type veth peer name eth0 netns ${this.#prefix}${name}`,
        `link set v-${name} master ${bridge} up`,
      );
      this.ip(
        name,
        `address add ${address.ipv4}/24 dev eth0`,
        `address add ${address.ipv6}/64 dev eth0 nodad`,
        "link set eth0 up",
        `route add default via 10.201.${number}.1`,
        `route add default via fd00:${number}::1`,
      );
    }
  }

  /** Until all neighbours are known: from then on datagrams arrive in the order in which they are sent. */
  #settle(): void {
    for (const space of this.#spaces.filter((name) => name !== "host"))
      for (const family of ["ipv4", "ipv6"] as const) {
        const server = this.serve(space, 4999, family);
        const client = this.client("host", server.address);
        const { from } = this.until(`the host reaches ${space}`, () => {
          this.send(client);
          return receiveFrom(server.fd);
        });
        sendDatagram(server.fd, Buffer.from("back"), encodeAddress(from));
        this.until(`${space} reaches the host`, () => receiveFrom(client));
      }
  }
}

function run(program: string, args: readonly string[], input = ""): void {
  const { status, stderr } = spawnSync(program, args, { encoding: "utf8", input });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${stderr}`);
}
