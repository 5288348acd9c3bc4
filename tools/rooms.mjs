// The rooms of the house, and which rooms each may import. Lint enforces it, and a test compares docs/architecture.md with it.

/** What both servers and the daemon stand on. */
const ground = ["common", "linux"];
const dnsRooms = [
  "dns/protocol",
  "dns/wire",
  "dns/table",
  "dns/cache",
  "dns/forward",
  "dns/sandbox",
  "dns/resolve",
  "dns/serve",
];
const proxyRooms = [
  "proxy/publication",
  "proxy/dial",
  "proxy/protocol",
  "proxy/tcp",
  "proxy/udp",
  "proxy/bulk",
  "proxy/shim-protocol",
  "proxy/shims",
  "proxy/shim",
];
/** What pontoon-proxy and the daemon say to each other, and what that is made of. */
const proxyProtocol = ["proxy/protocol", "proxy/publication", "proxy/source-ports", "proxy/bulk/start"];
const daemonRooms = [
  "src/inventory",
  "src/docker",
  "src/supervisor",
  "src/store",
  "src/names",
  "src/ports",
  "src/cluster",
  "src/networks",
  "src/status",
  "src/config",
  "src/control",
  "src/cli",
  "src/check",
  "src/trace",
];

/**
 * A file belongs to the first room that has it.
 * @type {Record<string, { files: string[], holds: string, imports: string[] }>}
 */
export const rooms = {
  common: {
    files: ["common/**"],
    holds:
      "leaves: errors, the handshake with servers, addresses, files that others may have touched, text for terminals",
    imports: [],
  },
  linux: { files: ["linux/**"], holds: "system calls, event loops, netlink, /proc", imports: ["common"] },
  server: {
    files: ["server/**"],
    holds: "what every server program has in common: its end of control, and its start",
    imports: ground,
  },

  "dns/testing": {
    files: ["dns/testing/**"],
    holds: "what tests of pontoon-dns share",
    imports: ["dns", ...dnsRooms, ...ground],
  },
  "dns/fuzz": {
    files: ["dns/fuzz/**"],
    holds: "the mutation fuzzer",
    imports: ["dns/testing", ...dnsRooms, ...ground],
  },
  "dns/protocol": {
    files: ["dns/{protocol,messages}.ts"],
    holds: "what the daemon and pontoon-dns say to each other",
    imports: ["common"],
  },
  "dns/wire": { files: ["dns/wire/**"], holds: "bytes: questions, names, records, replies", imports: [] },
  "dns/table": {
    files: ["dns/table/**"],
    holds: "names of containers: who may see which",
    imports: ["dns/protocol", "dns/wire", ...ground],
  },
  "dns/cache": { files: ["dns/cache/**"], holds: "answers that are kept", imports: ["dns/protocol", "dns/wire"] },
  "dns/forward": {
    files: ["dns/forward/**"],
    holds: "asking upstreams: sockets, order, time",
    imports: ["dns/protocol", "dns/wire", ...ground],
  },
  "dns/sandbox": {
    files: ["dns/{sandbox,heartbeat}.ts"],
    holds: "one container's namespace, as pontoon-dns has it",
    imports: ["dns/protocol", "dns/wire", "dns/table", "dns/cache", "dns/forward", ...ground],
  },
  "dns/resolve": {
    files: ["dns/resolve/**"],
    holds: "from a question to its answer: policy, Docker's resolver, suffixes",
    imports: ["dns/protocol", "dns/wire", "dns/table", "dns/cache", "dns/forward", "dns/sandbox", ...ground],
  },
  "dns/serve": {
    files: ["dns/serve/**"],
    holds: "serving over UDP and TCP, the query log",
    imports: ["dns/protocol", "dns/wire", "dns/table", "dns/sandbox", "dns/resolve", ...ground],
  },
  dns: {
    files: ["dns/**"],
    holds: "pontoon-dns: its start, its server, its end of control",
    imports: [...dnsRooms, "server", ...ground],
  },

  "proxy/testing": {
    files: ["proxy/testing/**"],
    holds: "what tests of pontoon-proxy share",
    imports: ["proxy", ...proxyRooms, "proxy/source-ports", "proxy/bulk/start", ...ground],
  },
  "proxy/publication": {
    files: ["proxy/publication/**"],
    holds: "what a publication is, and what a relay must be able to do",
    imports: ["common"],
  },
  "proxy/source-ports": {
    files: ["proxy/dial/source-ports.ts"],
    holds: "which ports of the host UDP flows may have",
    imports: ["common"],
  },
  "proxy/dial": {
    files: ["proxy/dial/**"],
    holds: "reaching containers: connections, what stands in their way",
    imports: ["proxy/publication", "proxy/source-ports", ...ground],
  },
  "proxy/protocol": {
    files: ["proxy/{protocol,messages}.ts"],
    holds: "what the daemon and pontoon-proxy say to each other",
    imports: ["proxy/publication", "proxy/source-ports", "common"],
  },
  "proxy/tcp": {
    files: ["proxy/tcp/**"],
    holds: "TCP: listeners, connections, ends, the PROXY protocol",
    imports: ["proxy/publication", "proxy/dial", ...ground],
  },
  "proxy/udp": {
    files: ["proxy/udp/**"],
    holds: "UDP: flows",
    imports: ["proxy/publication", "proxy/dial", "proxy/source-ports", ...ground],
  },
  "proxy/bulk/start": {
    files: ["proxy/bulk/spawn-workers.ts"],
    holds: "how a bulk worker is started",
    imports: ground,
  },
  "proxy/bulk": {
    files: ["proxy/bulk/**"],
    holds: "processes that move large transfers",
    imports: ["proxy/protocol", "proxy/tcp", ...ground],
  },
  "proxy/shim-protocol": {
    files: ["proxy/shims/shim-protocol.ts"],
    holds: "what shims and pontoon-proxy say to each other",
    imports: ["proxy/publication", ...ground],
  },
  "proxy/shims": {
    files: ["proxy/shims/**"],
    holds: "pontoon-proxy's end of the shims dockerd starts",
    imports: ["proxy/publication", "proxy/shim-protocol", ...ground],
  },
  "proxy/shim": {
    files: ["proxy/shim/**"],
    holds: "the program dockerd starts for each port, in C and in TypeScript",
    imports: ["proxy/publication", "proxy/shim-protocol", ...ground],
  },
  proxy: {
    files: ["proxy/**"],
    holds: "pontoon-proxy: its start, its server, its publications, its end of control",
    imports: [...proxyRooms, "proxy/source-ports", "proxy/bulk/start", "server", ...ground],
  },

  "network/addresses": {
    files: ["network/addresses/**"],
    holds: "subnets, address pools, who has which address, and the MAC that follows; no I/O",
    imports: ["common"],
  },
  "network/dhcp": {
    files: ["network/dhcp/**"],
    holds: "a DHCP client: bytes, states, and its socket on a link of a namespace",
    imports: ground,
  },
  "network/firewall": {
    files: ["network/firewall/**"],
    holds: "nftables tables of pontoon's networks: what is wanted, what that makes, what is there",
    imports: ground,
  },
  "network/protocol": {
    files: ["network/{protocol,wanted,seen,docker-bridges}.ts", "network/plan/steps.ts"],
    holds: "what the daemon and the backend's thread say to each other, and what is wanted and seen",
    imports: ["network/firewall", ...ground],
  },
  "network/plan": {
    files: ["network/plan/**"],
    holds: "from what is wanted and what is seen to the steps in between; no I/O",
    imports: ["network/protocol", ...ground],
  },
  "network/links": {
    files: ["network/links/**"],
    holds: "looking at bridges, links and namespaces, and carrying steps out",
    imports: ["network/protocol", "network/plan", ...ground],
  },
  network: {
    files: ["network/**"],
    holds: "the network backend's thread",
    imports: ["network/firewall", "network/protocol", "network/plan", "network/links", ...ground],
  },

  "src/inventory": {
    files: ["src/inventory/**"],
    holds: "containers, networks, endpoints as plain data; naming and order",
    imports: ["common"],
  },
  "src/docker": {
    files: ["src/docker/**"],
    holds: "the engine's API, events and configuration → inventory",
    imports: ["src/inventory", "dns/protocol", ...ground],
  },
  "src/supervisor": {
    files: ["src/supervisor/**"],
    holds: "keeps a server program running and speaks with it",
    imports: ground,
  },
  "src/store": {
    files: ["src/store/**"],
    holds: "what outlives a restart, behind one interface: lmdb; what hosts agree on, behind another: etcd, or lmdb",
    imports: ground,
  },
  "src/names": {
    files: ["src/names/**"],
    holds: "what pontoon-dns is told: records, takeovers, hosts files",
    imports: ["dns/protocol", "src/inventory", "src/docker", "src/supervisor", ...ground],
  },
  "src/ports": {
    files: ["src/ports/**"],
    holds: "what pontoon-proxy is told: specs, publishing, binding, and what of it outlives a restart",
    imports: ["network/firewall", ...proxyProtocol, "src/inventory", "src/supervisor", "src/store", ...ground],
  },
  "src/cluster": {
    files: ["src/cluster/**"],
    holds: "hosts that share a store: what is known of the others, and what is agreed with them",
    imports: ["src/inventory", "src/store", ...ground],
  },
  "src/networks": {
    files: ["src/networks/**"],
    holds: "pontoon's own networks, sandboxes and endpoints: what is kept of them, and what the backend is told",
    imports: [
      "network/addresses",
      "network/dhcp",
      "network/firewall",
      "network/protocol",
      "src/inventory",
      "src/cluster",
      "src/store",
      ...ground,
    ],
  },
  "src/status": {
    files: ["src/{status,loop-delay}.ts"],
    holds: "what `pontoon status` says",
    imports: [
      "dns/protocol",
      ...proxyProtocol,
      "src/inventory",
      "src/docker",
      "src/names",
      "src/networks",
      "src/cluster",
      ...ground,
    ],
  },
  "src/config": {
    files: ["src/{config,config-network}.ts"],
    holds: "the configuration file",
    imports: ["network/addresses", "proxy/source-ports", "src/ports", "common"],
  },
  "src/control": {
    files: ["src/control/**"],
    holds: "the control API and its client",
    imports: [
      "dns/protocol",
      "src/inventory",
      "src/status",
      "src/names",
      "src/ports",
      "src/networks",
      "src/cluster",
      "common",
    ],
  },
  "src/cli": {
    files: ["src/cli/**"],
    holds: "the command: types, formats and the client only",
    imports: [
      "dns/protocol",
      "dns/wire",
      "proxy/publication",
      "src/names",
      "src/ports",
      "src/networks",
      "src/cluster",
      "src/status",
      "src/control",
      ...ground,
    ],
  },
  "src/check": {
    files: ["src/check/**"],
    holds: "`pontoon check`: probes gather facts, `findings.ts` says what they mean",
    imports: [
      "dns/protocol",
      ...proxyProtocol,
      ...daemonRooms.filter((room) => room !== "src/check" && room !== "src/trace"),
      ...ground,
    ],
  },
  "src/trace": {
    files: ["src/trace/**"],
    holds:
      "`pontoon trace`: facts are gathered, `way/` follows a packet through them, `rules/` what firewalls make of it",
    imports: [
      "dns/protocol",
      "network/firewall",
      "src/inventory",
      "src/docker",
      "src/ports",
      "src/status",
      "src/control",
      "src/cli",
      "src/check",
      ...ground,
    ],
  },
  src: {
    files: ["src/**"],
    holds: "`main.ts`, the composition root `daemon.ts`, and what belongs to the daemon's process: log, pulse",
    imports: ["dns/protocol", ...proxyProtocol, "network/addresses", ...daemonRooms, ...ground],
  },

  "integration/lab": {
    files: ["integration/lab/**"],
    holds: "private Docker hosts and what is done on them",
    imports: ["dns/fuzz", ...ground],
  },
  integration: {
    files: ["integration/**"],
    holds: "tests that drive the built programs from outside, by subject",
    imports: ["integration/lab", "proxy/protocol", "proxy/testing", "src/ports", "src/config", "src", ...ground],
  },
  bench: {
    files: ["bench/**"],
    holds: "side-by-side benchmarks",
    imports: ["integration/lab", "dns/protocol", ...proxyProtocol, "proxy/bulk", ...daemonRooms, "src", ...ground],
  },
};

/** Who may import these packages. */
export const keptTo = { koffi: ["linux"], dockerode: ["src/docker"], lmdb: ["src/store"] };

/** What docs/architecture.md says of the rooms. */
export function roomsAsText() {
  return Object.entries(rooms).map(([name, { files, holds, imports }]) => {
    const which = files[0] === `${name}/**` ? `\`${name}/\`` : files.map((file) => `\`${file}\``).join(", ");
    const from = imports.length === 0 ? "nothing of ours" : imports.map((other) => `\`${other}\``).join(" ");
    return `- ${which}: ${holds}. Imports ${from}.`;
  });
}
