import t from "tap";
import type { ContainerStatus, Status } from "../status.js";
import { statusText } from "./status-text.js";

const base: Status = {
  ready: true,
  version: "1.2.3",
  pid: 10,
  observe: false,
  stateDir: "/var/lib/pontoon",
  docker: { host: "unix:///d.sock", state: "following", detail: "Docker 20.10.24" },
  dns: { state: "running", pid: 20, version: "1.2.3", detail: "", residentMemory: 52_400_000 },
  ports: {
    state: "running",
    pid: 30,
    version: "1.2.3",
    detail: "",
    residentMemory: 48_000_000,
    published: 3,
    shims: 0,
    connections: 12,
    workers: 1,
  },

  networks: [],
  containers: [],
  upstreams: [],
};
const container: ContainerStatus = {
  id: "c",
  source: "docker",
  name: "web",
  networks: [
    { name: "front", ipv4: "10.0.0.2", ipv6: undefined, names: ["web"] },
    { name: "six", ipv4: undefined, ipv6: "fd00::2", names: [] },
  ],
  resolver: "pontoon",
  reason: "",
  wanted: true,
  code: undefined,
  upstreams: ["host(10.0.0.53)"],
  counters: {
    queries: 7,
    local: 5,
    cached: 0,
    forwarded: 2,
    dockerResolver: 0,
    failed: 1,
    refused: 0,
    tcpConnections: 0,
  },
};

t.test("a host without anything is told in four lines and two sentences", (t) => {
  t.equal(
    statusText(base).join("\n"),
    `pontoon 1.2.3, pid 10
docker         Docker 20.10.24
pontoon-dns    running, pid 20, 52 MB
pontoon-proxy  running, pid 30, 48 MB; 3 sockets published, 12 connections

No user-defined networks.

No running containers.`,
  );
  t.end();
});

t.test("how long the daemon was held up is told when it is measured", (t) => {
  t.match(
    statusText({ ...base, loopDelay: { p99: 1.5, max: 12.345 } }).join("\n"),
    /^pontoon 1\.2\.3, pid 10, event loop held up 12\.3 ms at most$/m,
  );
  t.end();
});

t.test("pontoon's own networks are told where there are any, or why they are off", (t) => {
  const line = (backend: Status["backend"], observe = false) =>
    /^networks +(.*)$/m.exec(statusText({ ...base, observe, ...(backend && { backend }) }).join("\n"))?.[1];
  t.equal(line(undefined), undefined, "of an earlier daemon");
  t.equal(line({ networks: 0, sandboxes: 0, gone: [] }), undefined);
  t.equal(line({ networks: 1, sandboxes: 0, gone: [] }), "1 network of pontoon's own, 0 sandboxes");
  const some = { networks: 2, sandboxes: 1, gone: ["web"] };
  t.equal(line(some), "2 networks of pontoon's own, 1 sandbox; gone: web");
  t.match(line({ networks: 0, sandboxes: 0, gone: [], cutOff: ["web", "app"] }), /^cut off, .*: web, app$/);
  t.match(
    line({ networks: 0, sandboxes: 0, gone: [], tunnelTrouble: "why" }),
    /^encrypted ones .* no other host: why$/,
  );
  t.match(line({ networks: 0, sandboxes: 0, gone: [], due: 2 }), /^2 removals of which a plugin is told when/);
  t.equal(line({ ...some, off: "the store cannot be read" }), "off (the store cannot be read)");
  t.equal(line({ ...some, off: "only observing" }, true), undefined, "who observes knows");
  t.end();
});

t.test("Docker's driver is told where it is used, or why it cannot be", (t) => {
  const line = (driver?: NonNullable<Status["backend"]>["driver"]) =>
    /^Docker driver +(.*)$/m.exec(
      statusText({ ...base, backend: { networks: 0, sandboxes: 0, gone: [], driver } }).join("\n"),
    )?.[1];
  t.equal(line(), undefined);
  t.equal(line({ networks: 0, endpoints: 0 }), undefined);
  t.equal(line({ networks: 1, endpoints: 2 }), "1 network, 2 places of containers on it");
  t.equal(line({ networks: 2, endpoints: 1 }), "2 networks, 1 place of containers on them");
  t.equal(line({ networks: 0, endpoints: 0, off: "another daemon serves" }), "off (another daemon serves)");
  t.end();
});

t.test("what is not running says why", (t) => {
  const text = statusText({
    ...base,
    docker: { host: "unix:///d.sock", state: "waiting", detail: "ENOENT" },
    dns: { state: "given-up", pid: undefined, version: undefined, detail: "five deaths", residentMemory: undefined },
  }).join("\n");
  t.match(text, "docker         waiting for dockerd at unix:///d.sock (ENOENT)");
  t.match(text, "pontoon-dns    given-up (five deaths)");
  t.end();
});

t.test("sockets of dockerd's are told apart, and a proxy that does not run says why", (t) => {
  t.match(
    statusText({ ...base, ports: { ...base.ports, shims: 2 } }).join("\n"),
    "; 5 sockets published, 2 for Docker, 12 connections",
  );
  t.match(
    statusText({ ...base, ports: { ...base.ports, state: "off", pid: undefined, residentMemory: undefined } }).join(
      "\n",
    ),
    /^pontoon-proxy  off$/m,
  );
  t.end();
});

t.test("rules in others' tables are told, and why one is missing", (t) => {
  const firewall = {
    rules: ["ip filter DOCKER-USER", "ip6 filter FORWARD"],
    troubles: ["inet firewalld f takes none"],
  };
  t.match(
    statusText({ ...base, firewall }).join("\n"),
    `
firewall       a rule with the comment pontoon in ip filter DOCKER-USER, ip6 filter FORWARD
firewall       inet firewalld f takes none
`,
  );
  t.end();
});

t.test("networks and containers have a line each", (t) => {
  const network = { id: "n", name: "front", driver: "bridge", internal: true, shared: true, endpoints: 2 };
  const text = statusText({
    ...base,
    networks: [network],
    containers: [
      container,
      {
        ...container,
        name: "db",
        resolver: "docker",
        reason: "label pontoon.dns=off",
        upstreams: [],
        counters: undefined,
      },
    ],
  }).join("\n");
  t.match(text, /^front {4}bridge {2}2 {11}internal, shared with other hosts$/m);
  t.match(text, /^web {8}front=10\.0\.0\.2 six=fd00::2 {2}pontoon {6}host\(10\.0\.0\.53\) {2}7 {8}1$/m);
  t.match(text, /^db .* docker {7}- .* - {8}- {7}label pontoon\.dns=off$/m);
  t.end();
});

t.test("an upstream's health is one word", (t) => {
  const cases: [given: { asked: number; answered: number; timeouts: number }, word: string][] = [
    [{ asked: 0, answered: 0, timeouts: 0 }, "unused"],
    [{ asked: 1, answered: 0, timeouts: 0 }, "no answer yet"],
    [{ asked: 3, answered: 0, timeouts: 3 }, "silent"],
    [{ asked: 9, answered: 3, timeouts: 6 }, "poor"],
    [{ asked: 9, answered: 8, timeouts: 1 }, "good"],
  ];
  for (const [given, word] of cases) {
    const text = statusText({
      ...base,
      upstreams: [
        { upstream: { ip: "10.0.0.53", port: 53, from: "host" }, failures: 0, latency: 1.25, down: false, ...given },
      ],
    }).join("\n");
    t.match(text, new RegExp(`^host\\(10\\.0\\.0\\.53\\)  ${word} `, "m"), word);
    t.match(text, given.answered === 0 ? /-$/ : /1\.[23] ms$/);
  }
  t.end();
});
