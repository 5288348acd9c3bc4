import t from "tap";
import type { Link } from "../../../linux/netlink/rtnetlink/link-list.js";
import type { ListeningSocket } from "../../../linux/netlink/sock-diag.js";
import { container, endpoint, network } from "../../inventory/testing/containers.js";
import type { PortRow } from "../../ports/contract.js";
import type { Place, Request, World } from "../facts/world.js";
import { walk } from "./walk.js";

// A host with a bridge, two containers on it, and a link to the outside: what differs is up to each test.

const link = (index: number, name: string, more: Partial<Link> = {}): Link => ({
  index,
  name,
  kind: "veth",
  isUp: true,
  mtu: 1500,
  mac: "",
  master: undefined,
  peer: undefined,
  alias: undefined,
  group: 0,
  bridge: undefined,
  ...more,
});
const at = (ip: string, index: number) => ({ ip, prefix: 24, index, isLinkLocal: false });
const socket = (ip: string, port: number): ListeningSocket => ({ ip, port, isV6Only: false, link: 0, inode: port });

interface Own {
  links: readonly Link[];
  addresses: Place["addresses"];
  /** By the beginning of an address; "" is the default route. */
  routes: Readonly<Record<string, { link: number; gateway?: string }>>;
  settings?: Readonly<Record<string, string>>;
  listeners?: readonly ListeningSocket[];
}

function place(name: string, { links, addresses, routes, settings = {}, listeners = [] }: Own): Place {
  const own = new Set(addresses.map(({ ip }) => ip));
  return {
    name,
    path: name === "host" ? undefined : `/ns/${name}`,
    inode: 1,
    links,
    addresses,
    book: { chains: [], rules: () => [], set: () => undefined, element: () => undefined },
    route: ({ to }) => {
      if (own.has(to) || to.startsWith("127."))
        return { kind: "local", link: 1, gateway: undefined, source: to, mtu: undefined };
      const [best] = Object.keys(routes)
        .filter((prefix) => to.startsWith(prefix))
        .sort((one, other) => other.length - one.length);
      if (best === undefined) return { kind: "refused", errno: "ENETUNREACH" };
      const { link: index, gateway } = routes[best]!;
      const source = addresses.find((address) => address.index === index)?.ip;
      return { kind: "unicast", link: index, gateway, source, mtu: undefined };
    },
    setting: (setting) => settings[setting],
    listeners: (transport) => (transport === "tcp" ? listeners : []),
    flowsTo: () => [],
  };
}

const forwards = { "ipv4/ip_forward": "1" };
const hostOwn: Own = {
  links: [
    link(2, "br-front", { kind: "bridge" }),
    link(3, "veth-a", { master: 2, peer: 10 }),
    link(4, "veth-b", { master: 2, peer: 10 }),
    link(5, "eth0", { kind: undefined as unknown as string }),
  ],
  addresses: [at("10.1.0.1", 2), at("192.0.2.1", 5)],
  routes: { "10.1.0.": { link: 2 }, "192.0.2.": { link: 5 }, "": { link: 5, gateway: "192.0.2.254" } },
  settings: forwards,
};
const inside = (ip: string, peer: number, more: Partial<Own> = {}): Own => ({
  links: [link(10, "eth0", { peer })],
  addresses: [at(ip, 10)],
  routes: { "10.1.0.": { link: 10 }, "": { link: 10, gateway: "10.1.0.1" } },
  ...more,
});
const front = network("front", { bridge: "br-front" });
const on = (name: string, ip: string) => container(name, { endpoints: [endpoint("front", ip)] });

interface Situation {
  host?: Partial<Own>;
  a?: Partial<Own>;
  b?: Partial<Own>;
  ports?: readonly PortRow[];
  proxy?: string;
  command?: string;
}

function trace(from: "a" | "host" | "outside", to: string, port: number | undefined, situation: Situation = {}) {
  const { command = "web" } = situation;
  const [a, b] = [on("a", "10.1.0.2"), on("b", "10.1.0.3")];
  const places = new Map([
    [a, place("a", inside("10.1.0.2", 3, situation.a))],
    [b, place("b", inside("10.1.0.3", 4, { listeners: [socket("0.0.0.0", 80)], ...situation.b }))],
  ]);
  const host = place("host", { ...hostOwn, ...situation.host });
  const world: World = {
    host,
    containers: [a, b],
    networks: [front],
    ports: situation.ports ?? [],
    daemon: { ports: situation.proxy ?? "running", portsDetail: "it ended 5 times" },
    placeOf: (one) => places.get(one),
    holderOf: ({ port: held }) => ({ pid: held, command, args: [] }),
  };
  const request: Request = {
    words: { from, to },
    asker:
      from === "a"
        ? { kind: "container", container: a, place: places.get(a)! }
        : from === "host"
          ? { kind: "host" }
          : { kind: "outside", name: "outside", ip: "198.51.100.7" },
    goal: { kind: "address", ip: to },
    transport: port === undefined ? "icmp" : "tcp",
    port,
  };
  return walk(world, request);
}

const end = (...given: Parameters<typeof trace>) => {
  const { arrives, where, why, remedy } = trace(...given).end;
  return `${arrives ? "arrives" : "stops"} in ${where}: ${why}${remedy === undefined ? "" : ` | ${remedy}`}`;
};

t.test("what is well arrives", (t) => {
  t.equal(end("a", "10.1.0.3", 80), "arrives in b: web (pid 80) listens at 0.0.0.0:80");
  t.equal(end("host", "10.1.0.3", undefined), "arrives in b: b answers ping at 10.1.0.3");
  t.match(end("a", "203.0.113.9", 443), /^arrives in outside: it leaves this host for 203\.0\.113\.9/);
  t.equal(end("outside", "10.1.0.3", 80), "arrives in b: web (pid 80) listens at 0.0.0.0:80");
  t.end();
});

t.test("links that are down, and addresses that nobody has", (t) => {
  const down = (name: string) => ({ links: hostOwn.links.map((one) => ({ ...one, isUp: one.name !== name })) });
  t.equal(end("a", "10.1.0.3", 80, { host: down("veth-b") }), "stops in host: veth-b is down | ip link set veth-b up");
  t.equal(
    end("a", "10.1.0.3", 80, { host: down("br-front") }),
    "stops in host: br-front is down | ip link set br-front up",
  );
  t.match(end("a", "10.1.0.9", 80), /^stops in host: nobody has 10\.1\.0\.9 on network front \|/);
  t.match(
    end("a", "203.0.113.9", 80, { a: { routes: { "": { link: 10, gateway: "10.1.0.77" } } } }),
    /^stops in host: nobody has 10\.1\.0\.77, the gateway for 203\.0\.113\.9, on network front \| nsenter --net=\/ns\/a ip route replace default via 10\.1\.0\.1$/,
  );
  t.end();
});

t.test("what the host's settings refuse", (t) => {
  t.equal(
    end("outside", "10.1.0.3", 80, { host: { settings: {} } }),
    "stops in host: host does not forward what comes in by eth0 | sysctl -w net.ipv4.ip_forward=1",
  );
  const strict = { settings: { ...forwards, "ipv4/conf/eth0/rp_filter": "1" } };
  t.match(end("outside", "10.1.0.3", 80, { host: strict }), /^arrives/);
  const full = {
    settings: { ...forwards, "netfilter/nf_conntrack_count": "100", "netfilter/nf_conntrack_max": "100" },
  };
  t.equal(
    end("a", "10.1.0.3", 80, { host: full }),
    "stops in host: the table of connections is full (100 of 100): new ones are dropped | sysctl -w net.netfilter.nf_conntrack_max=200",
  );
  t.end();
});

t.test("answers need a way back", (t) => {
  t.equal(
    end("outside", "10.1.0.3", 80, { b: { routes: { "10.1.0.": { link: 10 } } } }),
    "stops in b: b has no way back to 198.51.100.7: its answers never leave | nsenter --net=/ns/b ip route add default via 10.1.0.1",
  );
  t.end();
});

t.test("a published port that pontoon-proxy serves, while it is there and while it is not", (t) => {
  const row: PortRow = {
    container: "b",
    containerPort: 80,
    transport: "tcp",
    ip: "0.0.0.0",
    hostPort: 8080,
    by: "pontoon",
    source: "command",
    state: "open",
    target: "10.1.0.3:80",
  };
  const situation = { ports: [row], host: { listeners: [socket("0.0.0.0", 8080)] }, command: "pontoon-proxy" };
  t.match(end("outside", "192.0.2.1", 8080, situation), /^arrives in b: /);
  t.equal(
    end("outside", "192.0.2.1", 8080, { ...situation, proxy: "failed" }),
    "stops in host: pontoon-proxy, which serves port 8080 of every address for b, is failed: it ended 5 times | systemctl restart pontoon",
  );
  t.equal(
    end("outside", "192.0.2.1", 8080, { ports: [row] }),
    "stops in host: port 8080 of every address is published for b, and pontoon-proxy does not serve it | systemctl restart pontoon",
  );
  t.match(
    end("outside", "192.0.2.1", 8080, { ...situation, command: "nginx" }),
    /^stops in host: nginx \(pid 8080\) listens at 0\.0\.0\.0:8080, and has port 8080 of every address, which b is to have \|/,
  );
  t.end();
});

t.test("smaller links on the way are told of", (t) => {
  const narrow = (name: string, mtu: number) => ({
    links: hostOwn.links.map((one) => (one.name === name ? { ...one, mtu } : one)),
  });
  t.match(
    end("a", "10.1.0.3", 80, { host: narrow("br-front", 1300) }),
    /; but br-front of host takes 1300 bytes, .*: larger packets are lost/,
  );
  t.match(
    end("a", "203.0.113.9", 80, { host: narrow("eth0", 1400) }),
    /^arrives in outside: .*; but eth0 of host takes 1400 bytes, eth0 of a sends up to 1500: .* by ICMP/,
  );
  t.end();
});
