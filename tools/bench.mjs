// `sudo npm run bench -- NAME [OPTION…]`: from a fresh clone to one benchmark's table. Without a name: what there is.
import { requireProgram } from "./build.mjs";
import { requireDebianPackages, requirePlatform, requireRoot } from "./prepare.mjs";

/** @typedef {{about: string, packages: import("./prepare.mjs").WantedCommand[]}} Benchmark */

/** What it takes to make hosts. */
const hosts = [
  { command: "nft", package: "nftables" },
  { command: "ip", package: "iproute2" },
  { command: "iptables", package: "iptables" },
  { command: "dockerd", package: "docker.io" },
  { command: "busybox", package: "busybox-static" },
  { command: "nsenter", package: "util-linux" },
  { command: "ps", package: "procps" },
];
/** What the shim is built with. */
const compilers = [
  { command: "gcc", package: "gcc" },
  { command: "musl-gcc", package: "musl-tools" },
];
const curl = { command: "curl", package: "curl" };
const dnsperf = { command: "dnsperf", package: "dnsperf" };

/** @type {Record<string, Benchmark>} */
const benchmarks = {
  dns: {
    about: "the resolver beside Docker's own, dnsmasq and aardvark-dns",
    packages: [
      ...hosts,
      dnsperf,
      { command: "dnsmasq", package: "dnsmasq-base" },
      { command: "aardvark-dns", package: "aardvark-dns" },
    ],
  },
  proxy: {
    about: "published ports beside Docker's own docker-proxy",
    packages: [
      ...hosts,
      { command: "ss", package: "iproute2" },
      curl,
      { command: "wrk", package: "wrk" },
      { command: "iperf3", package: "iperf3" },
      dnsperf,
      ...compilers,
    ],
  },
  network: {
    about: "networks and endpoints beside CNI's plugins and netavark",
    packages: [
      ...hosts.filter(({ command }) => command !== "dockerd"), // it is about hosts without Docker
      { command: "ss", package: "iproute2" },
      { command: "portmap", package: "containernetworking-plugins" },
      { command: "netavark", package: "netavark" },
      { command: "wrk", package: "wrk" },
      { command: "iperf3", package: "iperf3" },
      ...compilers,
    ],
  },
  driver: {
    about: "networks that Docker makes with pontoon as their driver, beside those of its own bridge driver",
    packages: [
      ...hosts,
      { command: "ss", package: "iproute2" },
      { command: "wrk", package: "wrk" },
      { command: "iperf3", package: "iperf3" },
    ],
  },
  overlay: {
    about: "networks over several hosts, beside Docker's own overlay",
    packages: [
      ...hosts,
      curl,
      { command: "ss", package: "iproute2" },
      { command: "etcd", package: "etcd-server" },
      { command: "iperf3", package: "iperf3" },
    ],
  },
  memory: {
    about: "memory and processor time while nothing happens, beside dockerd with its docker-proxies",
    packages: [...hosts, curl, ...compilers],
  },
};

const [name = "", ...options] = process.argv.slice(2);
const benchmark = Object.hasOwn(benchmarks, name) ? benchmarks[name] : undefined;
if (!benchmark) list();
else await run(name, benchmark, options);

function list() {
  const lines = Object.entries(benchmarks).map(([known, { about }]) => `  sudo npm run bench -- ${known}   ${about}\n`);
  const isHelp = name === "" || name === "--help";
  const stream = isHelp ? process.stdout : process.stderr;
  if (!isHelp) stream.write(`pontoon: there is no benchmark called ${name}\n`);
  stream.write(`${lines.join("")}Options and what the figures mean: bench/README.md\n`);
  process.exitCode = isHelp ? 0 : 2;
}

/**
 * @param {string} name
 * @param {Benchmark} benchmark
 * @param {readonly string[]} options
 */
async function run(name, { packages }, options) {
  requirePlatform();
  requireRoot(`npm run bench -- ${name}`);
  process.env.PATH = `${process.env.PATH}:/usr/lib/podman:/usr/lib/cni`; // where Debian puts the peers of ours
  await requireDebianPackages(packages);
  await requireProgram({ development: true });
  const program = new URL(`../dist/bench/${name}.js`, import.meta.url);
  process.argv = [process.execPath, program.pathname, ...options];
  await import(program.href);
}
