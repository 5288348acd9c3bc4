import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { defaultConfigPath, loadConfig, parseConfig } from "./config.js";

const defaults = {
  "log-level": "info",
  observe: false,
  store: "embedded",
  etcd: {},
  wireguard: { use: "kernel", port: 51_840 },
  dns: {
    enabled: true,
    ttl: 5,
    "query-log": false,
    "cache-size": 32,
    "single-label": "forward",
    "forward-from": "docker",
    patience: 2,
    "share-answers": false,
    "orphan-after": 60,
  },
  ports: { enabled: true, drain: 10, "udp-source-ports": { first: 61_000, last: 65_535 } },
  network: {
    icc: true,
    "ip-forward": true,
    "firewalld-zone": "trusted",
    "ip-masq": true,
    iptables: true,
    "default-address-pools": [],
    dns: [],
    "dns-search": [],
    "dns-opt": [],
  },
};

function problem(text: string): string {
  try {
    parseConfig(text, "pontoon.yaml");
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    if (code !== "CONFIG_INVALID") throw error;
    return message;
  }
  throw new Error(`accepted: ${text}`);
}

t.test("what is not said has a default", (t) => {
  for (const text of ["", "# nothing\n", "{}", "dns: {}"])
    t.same(parseConfig(text, "f"), defaults, JSON.stringify(text));
  t.same(parseConfig("dns:\n  ttl: 0\n", "f").dns, { ...defaults.dns, ttl: 0 }, "one key leaves the others alone");
  t.end();
});

t.test("everything that may be said is taken", (t) => {
  const text = `docker: tcp://10.0.0.1:2375
log-level: debug
observe: true
dns:
  ttl: 86400
  query-log: true
  cache-size: 4096
  single-label: local
  forward-from: host
  patience: 0.5
  share-answers: true
  orphan-after: 3600
  enabled: false
ip: '::ffff:192.0.2.1'
store: etcd://192.0.2.7
advertise: '::ffff:192.0.2.9'
etcd: { ca: ca.pem, cert: host.pem, key: host.key, user: pontoon, password-file: password }
wireguard: { use: /usr/bin/wireguard-go, port: 51820 }
ports:
  enabled: false
  drain: 0
  udp-source-ports: 1024-1123
network:
  bip: 10.1.0.1/16
  fixed-cidr: 10.1.7.0/24
  mtu: 1400
  icc: false
  ip-forward: false
  firewalld-zone: docker
  ip-masq: false
  iptables: false
  default-address-pools: [{ base: 10.2.0.0/16, size: 24 }]
  dns: [192.0.2.53]
  dns-search: [corp.example]
  dns-opt: ['ndots:1']
`;
  const network = {
    bip: "10.1.0.1/16",
    "fixed-cidr": "10.1.7.0/24",
    mtu: 1400,
    icc: false,
    "ip-forward": false,
    "firewalld-zone": "docker",
    "ip-masq": false,
    iptables: false,
    "default-address-pools": [{ base: "10.2.0.0/16", size: 24 }],
    dns: ["192.0.2.53"],
    "dns-search": ["corp.example"],
    "dns-opt": ["ndots:1"],
  };
  const dns = {
    enabled: false,
    ttl: 86400,
    "query-log": true,
    "cache-size": 4096,
    "single-label": "local",
    "forward-from": "host",
    patience: 0.5,
    "share-answers": true,
    "orphan-after": 3600,
  };
  t.same(parseConfig(text, "f"), {
    docker: "tcp://10.0.0.1:2375",
    "log-level": "debug",
    observe: true,
    ip: "192.0.2.1",
    store: "etcd://192.0.2.7",
    advertise: "192.0.2.9",
    etcd: { ca: "ca.pem", cert: "host.pem", key: "host.key", user: "pontoon", "password-file": "password" },
    wireguard: { use: "/usr/bin/wireguard-go", port: 51_820 },
    dns,
    ports: { enabled: false, drain: 0, "udp-source-ports": { first: 1024, last: 1123 } },
    network,
  });
  t.equal(parseConfig("network:\n  bridge: br0\n", "f").network.bridge, "br0");
  t.end();
});

t.test("a fault is told with its file, its key and what to write", (t) => {
  const cases: [text: string, ...expected: RegExp[]][] = [
    [
      "tll: 5",
      /^pontoon\.yaml: /,
      /unknown key tll/,
      /known here: docker, ip, advertise, log-level, store, etcd, wireguard, observe, dns, ports, network/,
    ],
    ["loglevel: info", /unknown key loglevel/, /did you mean log-level\?/],
    ["log_level: info", /did you mean log-level\?/],
    [
      "dns:\n  querylog: true",
      /unknown key dns\.querylog/,
      /did you mean query-log\?/,
      /known here: enabled, ttl, query-log, cache-size, single-label, forward-from, patience, share-answers, orphan-after/,
    ],
    ["ip: localhost", /^pontoon\.yaml: ip: must be an IPv4 or IPv6 address/],
    ["ports:\n  drian: 1", /unknown key ports\.drian/, /known here: enabled, drain/],
    [
      "ports:\n  udp-source-ports: '61000'",
      /ports\.udp-source-ports: must be at least 100 ports from 1024 on, such as 61000-65535/,
    ],
    ["ports:\n  udp-source-ports: 61000-61098", /at least 100 ports/],
    ["ports:\n  udp-source-ports: 1000-2000", /from 1024 on/],
    ["ports:\n  udp-source-ports: 65000-66000", /udp-source-ports/],
    ["one: 1\ntwo: 2", /unknown key one/, /unknown key two/],
    ["dns:\n  ttl: soon", /dns\.ttl: must be a whole number/, /digits only/],
    ["dns:\n  ttl: 1.5", /dns\.ttl: must be a whole number/],
    ["dns:\n  ttl: -1", /dns\.ttl: must be at least 0/],
    ["dns:\n  ttl: 86401", /dns\.ttl: must be at most 86400/],
    ["dns:\n  orphan-after: 0", /dns\.orphan-after: must be at least 1/],
    ["dns:\n  cache-size: -1", /dns\.cache-size: must be at least 0/],
    ["dns:\n  cache-size: 4097", /dns\.cache-size: must be at most 4096/],
    ["dns:\n  forward-from: nowhere", /dns\.forward-from: must be one of docker, host, container/],
    ["dns:\n  single-label: deny", /dns\.single-label: must be one of forward, local/],
    ["observe: yes please", /observe: must be true or false/],
    ["docker: 5", /docker: must be a string/, /write text/],
    ["log-level: loud", /log-level: must be one of trace, debug, info, warn, error, fatal, silent/],
    ["network:\n  brigde: br0", /unknown key network\.brigde; known here: bridge, bip, fixed-cidr, mtu, icc/],
    ["network:\n  bridge: a/b", /network\.bridge: must be the name of a bridge/],
    ["network:\n  bridge: br0\n  bip: 10.1.0.1/24", /network\.bip: cannot be given with bridge/],
    ["network:\n  bip: 10.1.0.1", /network\.bip: must be an IPv4 address with the prefix of its subnet/],
    ["network:\n  bip: 10.1.0.1/31", /network\.bip: must be/],
    ["network:\n  bip: 10.1.0.256/24", /network\.bip: must be/],
    ["network:\n  bip: fd00::1/64", /network\.bip: must be an IPv4/],
    ["network:\n  bip: 10.1.0.0/24", /network\.bip: 10\.1\.0\.0 is not an address for a gateway/],
    ["network:\n  bip: 10.1.0.255/24", /network\.bip: 10\.1\.0\.255 is not/],
    ["network:\n  fixed-cidr: 10.1.0.1/24", /network\.fixed-cidr: 10\.1\.0\.1\/24 /],
    ["network:\n  fixed-cidr: fd00::/64", /network\.fixed-cidr: must be an IPv4 subnet/],
    ["network:\n  bip: 10.1.0.1/24\n  fixed-cidr: 10.2.0.0/25", /network\.fixed-cidr: must be in .* 10\.1\.0\.0\/24/],
    ["network:\n  mtu: 67", /network\.mtu: must be at least 68/],
    ["network:\n  mtu: 65536", /network\.mtu: must be at most 65535/],
    ["network:\n  icc: maybe", /network\.icc: must be true or false/],
    ["network:\n  default-address-pools: 10.0.0.0/8", /network\.default-address-pools: must be a list/],
    [
      "network:\n  default-address-pools: [{ base: 10.0.0.0/8 }]",
      /default-address-pools\.0\.size: must be a whole number/,
    ],
    [
      "network:\n  default-address-pools: [{ base: 10.0.0.0/8, size: 7 }]",
      /pools\.0\.size: .* give a size from 8 to 32/,
    ],
    ["network:\n  default-address-pools: [{ base: ten, size: 24 }]", /default-address-pools\.0\.base: ten /],
    ["network:\n  default-address-pools: [{ base: 10.0.0.0/8, site: 24 }]", /unknown key .*pools\.0\.site/],
    ["network:\n  dns: [one.one.one.one]", /network\.dns\.0: must be an IPv4 or IPv6 address/],
    ["network:\n  dns-search: [a b]", /network\.dns-search\.0: must be one word/],
    ["network:\n  dns-opt: ndots:1", /network\.dns-opt: must be a list/],
    ["advertise: here", /advertise: must be an IPv4 or IPv6 address of this host/],
    ["store: 5", /store: must be a string/],
    ["etcd:\n  pass: x", /unknown key etcd\.pass .*known here: ca, cert, key, user, password-file/],
    ["etcd:\n  cert: c\n  key: k", /etcd\.cert: needs etcd\.ca beside it/],
    ["etcd:\n  ca: c\n  cert: c", /etcd\.cert: needs etcd\.key beside it/],
    ["etcd:\n  ca: c\n  key: k", /etcd\.key: needs etcd\.cert beside it/],
    ["etcd:\n  user: me", /etcd\.user: needs etcd\.password-file beside it/],
    ["etcd:\n  password-file: f", /etcd\.password-file: needs etcd\.user beside it/],
    ["wireguard:\n  use: maybe", /wireguard\.use: must be kernel, off, or the path of a program/],
    ["wireguard:\n  use: wireguard-go", /wireguard\.use: must be kernel, off, or the path of a program/],
    ["wireguard:\n  port: 0", /wireguard\.port: must be at least 1/],
    ["wireguard:\n  ports: 1", /unknown key wireguard\.ports .*known here: use, port/],
    ["dns: off", /dns: must be a mapping of keys/, /key: value/],
    ["- docker", /the file: must be a mapping of keys/],
    ["just words", /the file: must be a mapping of keys/],
    ["dns:\n  ttl: soon\nobserve: 1", /dns\.ttl/, /observe/],
  ];
  for (const [text, ...expected] of cases) {
    const message = problem(text);
    for (const pattern of expected) t.match(message, pattern, JSON.stringify(text));
    t.notMatch(message, /\n/, "on one line");
  }
  t.end();
});

t.test("a file that is not YAML is told with the line", (t) => {
  t.match(problem("observe: true\ndocker: [a\n"), /^pontoon\.yaml line \d: not YAML: /);
  t.match(problem("observe: true\nobserve: false\n"), /line 2: not YAML: .*unique/);
  t.match(problem("dns: [1"), /not YAML/);
  t.notMatch(problem("dns: [1"), /\n/);
  t.end();
});

t.test("a file is read from where it is said to be", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "own.yaml");
  writeFileSync(path, "dns:\n  ttl: 30\n");
  t.equal(loadConfig(path).dns.ttl, 30);
  t.throws(() => loadConfig(join(folder, "nosuch.yaml")), {
    code: "CONFIG_UNREADABLE",
    subject: join(folder, "nosuch.yaml"),
    message: /ENOENT.*--config/,
  });
  t.throws(() => loadConfig(folder), { code: "CONFIG_UNREADABLE", message: /EISDIR/ });
  t.ok(defaultConfigPath.startsWith("/etc/"));
  t.end();
});
