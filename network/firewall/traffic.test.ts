// What packets do: the same questions are asked without the firewall, so that an answer "closed" means something.
import t from "tap";
import type { SocketAddress } from "../../common/address.js";
import { skipWithoutNft as skip } from "../../linux/testing/nft.js";
import { receiveFrom } from "../../linux/testing/received.js";
import { bridgesAreFiltered } from "./bridge-filter.js";
import { hostAddress, outsideAddress, secondAddress } from "./testing/lab.js";
import { plainly, withLab } from "./testing/networks.js";
import { QUIET_GROUP, type KernelForward } from "./wanted.js";

/** Whom the server sees: an address, or the client's `own`; nobody where it does not come through. */
type Seen = string | undefined;
type Question = readonly [from: string, to: string, withFirewall: Seen];

for (const family of ["ipv4", "ipv6"] as const)
  for (const bridgeNetfilter of [false, true])
    t.test(`who reaches whom: ${family}${bridgeNetfilter ? ", bridges filtered by IP's rules" : ""}`, { skip }, (t) => {
      withLab((lab, firewall) => {
        const host = hostAddress[family];
        const questions: readonly Question[] = [
          ["a1", "a2", "own"],
          ["a1", "outside", host],
          ["b1", "outside", "own"],
          ["q1", "outside", secondAddress[family]],
          ["a1", "b1", undefined],
          ["b1", "a1", undefined],
          ["a1", "q1", undefined],
          ["d1", "a1", undefined],
          ["a1", "d1", undefined],
          ["d1", "outside", "own"],
          ["outside", "d1", "own"],
          ["outside", "a1", undefined],
          ["outside", "i1", undefined],
          ["i1", "outside", undefined],
          ["i1", "a1", undefined],
          ["a1", "i1", undefined],
          ["i1", "d1", undefined],
          ["i1", "i2", "own"],
          ["q1", "q2", undefined],
        ];
        const servers = new Map(
          [...new Set(questions.map(([, to]) => to))].map((to) => [to, lab.serve(to, 7000, family)]),
        );
        const ask = ([from, to]: Question) => lab.ask(from, servers.get(to)!.address, servers.get(to)!);
        const meant = (from: string, seen: Seen) => (seen === "own" ? lab.address(from, family) : seen);
        for (const question of questions)
          t.equal(ask(question), lab.address(question[0], family), `${question[0]} to ${question[1]}, no firewall`);
        firewall.apply(plainly);
        for (const question of questions)
          t.equal(ask(question), meant(question[0], question[2]), `${question[0]} to ${question[1]}`);
        firewall.remove();
        t.equal(ask(["a1", "b1", "own"]), lab.address("a1", family), "as before");
      }, bridgeNetfilter);
      t.end();
    });

for (const family of ["ipv4", "ipv6"] as const)
  t.test(`a network that is reached by a link: ${family}`, { skip }, (t) => {
    withLab((lab, firewall) => {
      const reached = plainly.networks.map((network) =>
        ["pt1", "pt3", "pt4"].includes(network.bridge) ? { ...network, reachedBy: "uplink" } : network,
      );
      firewall.apply({ ...plainly, networks: reached });
      const own = (from: string) => (family === "ipv6" ? lab.address(from, family) : undefined);
      const questions: readonly Question[] = [
        ["outside", "a1", own("outside")],
        ["outside", "q1", own("outside")],
        ["outside", "b1", undefined],
        ["outside", "i1", undefined],
        ["b1", "a1", undefined],
        ["d1", "a1", undefined],
        // It leaves as it is reached, but for an address that was asked for.
        ["a1", "outside", own("a1") ?? hostAddress[family]],
        ["q1", "outside", secondAddress[family]],
        ["q2", "q1", undefined],
      ];
      for (const [index, [from, to, seen]] of questions.entries()) {
        const server = lab.serve(to, 7000 + index, family);
        t.equal(lab.ask(from, server.address, server), seen, `${from} to ${to}`);
      }
      firewall.apply({ ...plainly, networks: reached.map((network) => ({ ...network, reachedBy: "elsewhere" })) });
      const server = lab.serve("a1", 7100, family);
      t.equal(lab.ask("outside", server.address, server), undefined, "by another link it is not reached");
    });
    t.end();
  });

for (const family of ["ipv4", "ipv6"] as const)
  t.test(`published ports: ${family}`, { skip }, (t) => {
    withLab((lab, firewall) => {
      const host = hostAddress[family];
      const gateway = family === "ipv4" ? "10.201.1.1" : "fd00:1::1";
      const servers = {
        a1: lab.serve("a1", 80, family),
        i1: lab.serve("i1", 80, family),
        q1: lab.serve("q1", 80, family),
        d1: lab.serve("d1", 80, family),
      };
      const forward = (port: number, to: keyof typeof servers, more: Partial<KernelForward> = {}): KernelForward => ({
        owner: `sandbox ${to}`,
        transport: "udp",
        ip: undefined,
        port,
        to: servers[to].address,
        ...more,
      });
      const outside = outsideAddress[family];
      const sources = [outside];
      const elsewhere = [family === "ipv4" ? "192.0.2.128/25" : "2001:db8::8000/113"];
      const forwards = [
        forward(8001, "a1"),
        forward(8002, "a1", { ip: host }),
        forward(8003, "a1", { sources: [...sources, ...elsewhere, "10.0.0.0/8", "10.201.0.0/16", "fd00::/16"] }),
        forward(8004, "a1", { ip: host, sources: elsewhere }),
        forward(8005, "i1"),
        forward(8006, "q1"),
        forward(8007, "d1"),
        forward(8008, "a1", { sources: elsewhere }),
        forward(8009, "a1", { transport: "tcp" }),
      ];
      firewall.apply({ ...plainly, forwards });
      const at = (port: number, ip: string = host): SocketAddress => ({ ip, port });
      const cases: readonly [
        from: string,
        to: SocketAddress,
        server: keyof typeof servers,
        seen: Seen,
        what: string,
      ][] = [
        ["outside", at(8001), "a1", outside, "the real client"],
        ["outside", at(8002), "a1", outside, "at one address"],
        ["host", at(8001), "a1", host, "the host by its own address"],
        ["host", at(8001, gateway), "a1", gateway, "the host by the gateway's address"],
        ["a2", at(8001), "a1", gateway, "hairpin, a neighbour"],
        ["a1", at(8001), "a1", gateway, "hairpin, itself"],
        ["a1", at(8001, gateway), "a1", gateway, "hairpin by the gateway"],
        ["b1", at(8001), "a1", lab.address("b1", family), "from another network"],
        ["d1", at(8001), "a1", lab.address("d1", family), "from a network of Docker's"],
        ["outside", at(8003), "a1", outside, "from an allowed source"],
        ["b1", at(8003), "a1", lab.address("b1", family), "from an allowed subnet"],
        ["outside", at(8004), "a1", undefined, "from a source that is not allowed, at one address"],
        ["outside", at(8008), "a1", undefined, "from a source that is not allowed"],
        ["outside", at(8005), "i1", undefined, "to an internal network"],
        ["i1", at(8001), "a1", undefined, "from an internal network"],
        ["outside", at(8006), "q1", outside, "where icc is off"],
        ["q2", at(8006), "q1", family === "ipv4" ? "10.201.4.1" : "fd00:4::1", "where icc is off, a neighbour"],
        ["outside", at(8007), "d1", outside, "to a container on Docker's network"],
        ["d1", at(8007), "d1", family === "ipv4" ? "10.201.9.1" : "fd00:9::1", "hairpin there"],
        ["outside", at(8009), "a1", undefined, "of another protocol"],
        ["outside", servers.a1.address, "a1", undefined, "an unpublished port"],
      ];
      for (const [from, to, server, seen, what] of cases) t.equal(lab.ask(from, to, servers[server]), seen, what);

      firewall.changeForwards({ remove: [forwards[0]!], add: [forward(8001, "q1"), forward(8010, "a1")] });
      t.equal(lab.ask("outside", at(8001), servers.q1), outside, "another target");
      t.equal(lab.ask("outside", at(8010), servers.a1), outside);
      firewall.changeForwards({ remove: forwards.slice(1) });
      for (const port of [8002, 8003]) t.equal(lab.ask("outside", at(port), servers.a1), undefined, `${port} has gone`);
      t.equal(lab.ask("outside", at(8010), servers.a1), outside, "the others stay");
    });
    t.end();
  });

t.test(
  "published ports where bridges are filtered by IP's rules: the proxy serves what comes from one",
  { skip },
  (t) => {
    withLab((lab, firewall) => {
      t.ok(lab.inside("host", bridgesAreFiltered));
      for (const family of ["ipv4", "ipv6"] as const) {
        const at = { ip: hostAddress[family], port: 8001 };
        const server = lab.serve("a1", 80, family);
        const proxy = lab.serve("host", at.port, family);
        const forwards = [
          { owner: "sandbox a1", transport: "udp", ip: undefined, port: at.port, to: server.address },
        ] as const;
        firewall.apply({ ...plainly, forwards, bridgesFiltered: true });
        t.equal(lab.ask("outside", at, server), outsideAddress[family], "what comes from outside is forwarded");
        for (const from of ["a1", "a2", "b1", "d1"]) {
          const token = lab.send(lab.client(from, at));
          t.match(
            lab.until(`a datagram from ${from}`, () => receiveFrom(proxy.fd)),
            { text: token, from: { ip: lab.address(from, family) } },
          );
        }
      }
    }, true);
    t.end();
  },
);

for (const bridgeNetfilter of [false, true])
  t.test(`links where icc is off${bridgeNetfilter ? ", bridges filtered by IP's rules" : ""}`, { skip }, (t) => {
    withLab((lab, firewall) => {
      for (const family of ["ipv4", "ipv6"] as const) {
        const [to, from] = [lab.address("q2", family), lab.address("q1", family)];
        const [exposed, hidden] = [lab.serve("q2", 6000, family), lab.serve("q2", 6001, family)];
        const links = [{ owner: "sandbox q1", from, to, transport: "udp", port: 6000 }] as const;
        firewall.apply({ ...plainly, links });
        t.equal(lab.ask("q1", exposed.address, exposed), from);
        t.equal(lab.ask("q1", hidden.address, hidden), undefined, "a port that is not exposed");
        t.equal(lab.ask("q3", exposed.address, exposed), undefined, "one that has no link");
        // By way of the host, which would bring it back to its bridge.
        const gateway = family === "ipv4" ? "10.201.4.1" : "fd00:4::1";
        lab.ip("q3", `route add ${to} via ${gateway}`);
        t.equal(lab.ask("q3", exposed.address, exposed), undefined, "one that has no link, by the gateway");
        firewall.apply(plainly);
        t.equal(lab.ask("q1", exposed.address, exposed), undefined, "without the link");
        if (bridgeNetfilter) continue;
        lab.ip("host", "link set v-q3 group 0");
        lab.ip("q3", `route delete ${to} via ${gateway}`);
        t.equal(lab.ask("q3", hidden.address, hidden), lab.address("q3", family), "a link that is no endpoint's");
        lab.ip("host", `link set v-q3 group ${QUIET_GROUP}`);
      }
    }, bridgeNetfilter);
    t.end();
  });
