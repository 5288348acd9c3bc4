// What becomes of connections: marks, flows that are remembered, TCP.
import { writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import t from "tap";
import { familyOf } from "../../common/address.js";
import { openListener } from "../../linux/listener.js";
import { Budget } from "../../linux/netlink/budget.js";
import { forgetFlows, type FlowTarget } from "../../linux/netlink/conntrack.js";
import { withNfnetlink } from "../../linux/netlink/nfnetlink.js";
import {
  acceptSocket,
  closeDescriptor,
  connectSocket,
  peerAddress,
  sendBytes,
  tcpSocket,
  WOULD_BLOCK,
} from "../../linux/socket.js";
import { nft, skipWithoutNft as skip } from "../../linux/testing/nft.js";
import { receiveFrom } from "../../linux/testing/received.js";
import { hostAddress, outsideAddress, type LabServer } from "./testing/lab.js";
import { plainly, withLab } from "./testing/networks.js";
import { PASS_MARK, PUBLISHED_MARK, type KernelForward } from "./wanted.js";

const at = { ip: hostAddress.ipv4, port: 8001 };
const to = ({ address }: LabServer): KernelForward => ({
  owner: "sandbox web",
  transport: "udp",
  ip: undefined,
  port: at.port,
  to: address,
});

function forget(target: FlowTarget): void {
  withNfnetlink((nfnetlink) => {
    forgetFlows(nfnetlink, target, new Budget("flows", { bytes: 1 << 20, objects: 1000, time: 10_000 }));
  });
}

t.test("what is let pass has a mark, which a rule of somebody's who drops everything can accept", { skip }, (t) => {
  withLab((lab, firewall) => {
    const [outside, target, other] = [lab.serve("outside", 7000), lab.serve("a1", 80), lab.serve("d1", 80)];
    firewall.apply({ ...plainly, forwards: [to(target)], bridgesFiltered: true });
    lab.inside("host", () =>
      nft("table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }"),
    );
    t.equal(lab.ask("a1", outside.address, outside), undefined);
    t.equal(lab.ask("outside", at, target), undefined);
    t.equal(lab.ask("a2", target.address, target), undefined, "what is bridged, too");
    const mark = `0x${PASS_MARK.toString(16)}`;
    lab.inside("host", () => nft(`add rule ip filter FORWARD meta mark and ${mark} == ${mark} accept`));
    t.equal(lab.ask("a1", outside.address, outside), hostAddress.ipv4);
    t.equal(lab.ask("outside", at, target), outsideAddress.ipv4);
    t.equal(lab.ask("a2", target.address, target), lab.address("a2"));
    t.equal(lab.ask("outside", other.address, other), undefined, "what is not pontoon's has no mark");
  }, true);
  t.end();
});

t.test("what somebody else translates comes in, without the mark", { skip }, (t) => {
  withLab((lab, firewall) => {
    const [target, inner] = [lab.serve("a1", 80), lab.serve("i1", 80)];
    firewall.apply(plainly);
    const table = (forward: string) =>
      nft(`table ip theirs {
        chain p { type nat hook prerouting priority -100; udp dport 8001 dnat to ${target.address.ip}:80;
          udp dport 8002 dnat to ${inner.address.ip}:80; };
        chain q { type nat hook prerouting priority -80; udp dport 8003 dnat to ${target.address.ip}:80; };
        chain f { type filter hook forward priority 0; ${forward} };
      }`);
    lab.inside("host", () => table(""));
    t.equal(lab.ask("outside", at, target), outsideAddress.ipv4);
    t.equal(lab.ask("b1", at, target), undefined, "not from another network");
    t.equal(lab.ask("d1", at, target), undefined, "not from one of Docker's");
    t.equal(lab.ask("outside", { ...at, port: 8003 }, target), outsideAddress.ipv4, "after pontoon's own");
    t.equal(lab.ask("b1", { ...at, port: 8003 }, target), undefined, "not taken for a published port");
    t.equal(lab.ask("outside", { ...at, port: 8002 }, inner), undefined, "not into an internal one");
    lab.inside("host", () => nft(`add rule ip theirs f meta mark and ${PASS_MARK} == 0 drop`));
    t.equal(lab.ask("outside", at, target), undefined);
  });
  t.end();
});

t.test("loopback and link-local addresses are left to the proxy", { skip }, (t) => {
  withLab((lab, firewall) => {
    lab.ip("host", "address add fe80::77/64 dev uplink nodad");
    const uplink = lab.inside(
      "outside",
      () => networkInterfaces().eth0!.find(({ scopeid = 0 }) => scopeid > 0)!.scopeid!,
    );
    const device = lab.inside(
      "host",
      () => networkInterfaces().uplink!.find(({ scopeid = 0 }) => scopeid > 0)!.scopeid!,
    );
    const targets = (["ipv4", "ipv6"] as const).map((family) => lab.serve("a1", 80, family));
    firewall.apply({ ...plainly, forwards: targets.map(to) });
    for (const [from, ip, bound] of [
      ["host", "127.0.0.1", "127.0.0.1"],
      ["host", "127.7.7.7", "127.7.7.7"],
      ["host", "::1", "::1"],
      ["outside", `fe80::77%${uplink}`, `fe80::77%${device}`],
    ] as const) {
      const proxy = lab.serve("host", at.port, familyOf(ip), bound);
      const client = lab.client(from, { ip, port: at.port });
      const tokens: string[] = [];
      // The first may be lost: the sender's link-local address may not be one yet.
      const { text } = lab.until(`a datagram to ${ip}`, () => (tokens.push(lab.send(client)), receiveFrom(proxy.fd)));
      t.ok(tokens.includes(text), ip);
    }
  });
  t.end();
});

t.test("a flow goes to the new target once the old one's are forgotten", { skip }, (t) => {
  withLab((lab, firewall) => {
    const [one, other] = [lab.serve("a1", 80), lab.serve("a2", 80)];
    firewall.apply({ ...plainly, forwards: [to(one)] });
    const client = lab.client("outside", at);
    const arrivesAt = (server: LabServer) => {
      const token = lab.send(client);
      t.match(
        lab.until(`a datagram at ${server.address.ip}`, () => receiveFrom(server.fd)),
        { text: token },
      );
    };
    arrivesAt(one);
    firewall.changeForwards({ remove: [to(one)], add: [to(other)] });
    arrivesAt(one);
    const flows = { ip: one.address.ip, at: { transport: "udp", port: 80 }, mark: PUBLISHED_MARK } as const;
    lab.inside("host", () => {
      forget(flows);
    });
    arrivesAt(other);
  });
  t.end();
});

t.test("what belongs to no connection does not leave with an address of the network's", { skip }, (t) => {
  withLab((lab, firewall) => {
    firewall.apply(plainly);
    const address = { ip: outsideAddress.ipv4, port: 80 };
    const listener = lab.inside("outside", () => openListener("tcp", address));
    // A packet in the middle of a connection that is not known begins none.
    lab.inside("host", () => {
      writeFileSync("/proc/sys/net/netfilter/nf_conntrack_tcp_loose", "0");
    });
    const client = lab.inside("a1", () => {
      const fd = tcpSocket();
      connectSocket(fd, address);
      return fd;
    });
    const accepted = lab.until("a connection", () => {
      const fd = acceptSocket(listener);
      return fd === WOULD_BLOCK ? undefined : fd;
    });
    lab.inside("outside", () =>
      nft(`table ip seen { counter untranslated { }; chain c { type filter hook prerouting priority -300;
        ip saddr ${lab.address("a1")} counter name untranslated; }; }`),
    );
    lab.inside("host", () => {
      forget({ ip: address.ip });
    });
    sendBytes(client, Buffer.from("x"));
    const server = lab.serve("outside", 7000);
    t.equal(lab.ask("a1", server.address, server), hostAddress.ipv4);
    t.match(
      lab.inside("outside", () => nft("list counters")),
      /packets 0 /,
    );
    [client, accepted, listener].forEach(closeDescriptor);
  });
  t.end();
});

t.test("a TCP connection to a published port, from outside and from the target itself", { skip }, (t) => {
  withLab((lab, firewall) => {
    const address = { ip: lab.address("a1"), port: 80 };
    const listener = lab.inside("a1", () => openListener("tcp", address));
    firewall.apply({
      ...plainly,
      forwards: [{ owner: "sandbox a1", transport: "tcp", ip: at.ip, port: at.port, to: address }],
    });
    for (const [from, seen] of [
      ["outside", outsideAddress.ipv4],
      ["a1", "10.201.1.1"],
    ] as const) {
      const client = lab.inside(from, () => {
        const fd = tcpSocket();
        connectSocket(fd, at);
        return fd;
      });
      const accepted = lab.until(`a connection from ${from}`, () => {
        const fd = acceptSocket(listener);
        return fd === WOULD_BLOCK ? undefined : fd;
      });
      t.equal(peerAddress(accepted).ip, seen);
      [client, accepted].forEach(closeDescriptor);
    }
    closeDescriptor(listener);
  });
  t.end();
});
