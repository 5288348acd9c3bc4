import t from "tap";
import type { ContainerFacts, DaemonFacts, DockerFacts, Facts } from "./facts.js";
import { findingsOf, isWell } from "./findings.js";

const dockerd: DockerFacts = {
  kind: "reachable",
  host: "unix:///d.sock",
  version: "28.2",
  pid: 9,
  liveRestore: false,
  usernsRemap: false,
  rootless: false,
  iptables: true,
  userlandProxy: true,
};
const daemon: DaemonFacts = {
  kind: "running",
  version: "1.2.3",
  pid: 10,
  observe: false,
  docker: { host: "unix:///d.sock", state: "following", detail: "" },
  dns: { state: "running", pid: 11, detail: "" },
  ports: { state: "running", detail: "" },
  backend: { networks: 0, sandboxes: 0, gone: [] },
};
const healthy: Facts = {
  isRoot: true,
  features: [
    { name: "Linux 6.1", problem: undefined },
    { name: "pidfd", problem: undefined },
  ],
  config: undefined,
  folders: [
    { option: "--run-dir", path: "/run/pontoon", fault: undefined },
    { option: "--state-dir", path: "/var/lib/pontoon", fault: undefined },
  ],
  docker: dockerd,
  daemon,
  containers: { kind: "seen", value: [] },
  host: { holders: [], redirect: { kind: "seen", value: undefined } },
  leftovers: { tables: { kind: "seen", value: { found: [], unread: [] } }, files: [], servers: [] },
};
const container = (
  name: string,
  resolver: ContainerFacts["resolver"],
  holders: ContainerFacts["holders"] = { kind: "seen", value: [] },
): ContainerFacts => ({ name, resolver, holders });
const seen = (...value: ContainerFacts[]): Facts["containers"] => ({ kind: "seen", value });

/** Findings as `level subject: text; remedy`, without those that are ok. */
function worries(facts: Partial<Facts>): string[] {
  return findingsOf({ ...healthy, ...facts })
    .filter(({ level }) => level !== "ok")
    .map(
      ({ level, subject, text, remedy }) => `${level} ${subject}: ${text}${remedy === undefined ? "" : `; ${remedy}`}`,
    );
}

/** Texts about one subject. */
function about(subject: string, facts: Partial<Facts>): string[] {
  return findingsOf({ ...healthy, ...facts })
    .filter((finding) => finding.subject === subject)
    .map(({ text }) => text);
}

t.test("a healthy host has nothing to worry about", (t) => {
  const findings = findingsOf(healthy);
  t.ok(isWell(findings));
  t.same(worries({}), []);
  t.same(
    findings.map(({ subject }) => subject),
    ["kernel", "docker", "daemon", "pontoon-dns", "containers", "port 53", "leftovers"],
  );
  t.end();
});

t.test("networks and ports that are off say why, and sandboxes that are gone are named", (t) => {
  const withBackend = (given: object) => ({
    daemon: { ...daemon, backend: { networks: 2, sandboxes: 3, gone: [], ...given } },
  });
  t.same(about("networks", {}), []);
  t.same(about("networks", withBackend({})), ["2 of pontoon's own, with 3 sandboxes"]);
  t.match(worries(withBackend({ gone: ["web", "db"] })).join("\n"), /^warning networks: .*: web, db; /);
  t.match(
    worries(withBackend({ off: "the store cannot be read" })).join("\n"),
    /^problem networks: off: the store cannot/,
  );
  t.same(
    worries({
      daemon: { ...daemon, observe: true, backend: { networks: 0, sandboxes: 0, gone: [], off: "observing" } },
    }),
    [],
  );
  t.same(worries({ daemon: { ...daemon, ports: { state: "off", detail: "" } } }), []);
  t.same(worries({ daemon: { ...daemon, ports: { state: "off", detail: "the store cannot be read" } } }), [
    "warning ports: off: the store cannot be read",
  ]);
  t.end();
});

t.test("what stops pontoon is a problem, what somebody should know a warning", (t) => {
  const stops: [Partial<Facts>, RegExp][] = [
    [
      { features: [{ name: "pidfd", problem: "the kernel refuses pidfd_open" }] },
      /^problem kernel: the kernel refuses pidfd_open$/,
    ],
    [
      {
        folders: [
          { option: "--run-dir", path: "/run/x", fault: { code: "EROFS", what: "on a read-only file system (EROFS)" } },
        ],
      },
      /^problem run folder: \/run\/x is on a read-only file system \(EROFS\): no daemon can start; /,
    ],
    [{ config: "pontoon.yaml: unknown key tll" }, /^problem configuration: .*tll/],
    [
      { docker: { kind: "unreachable", host: "unix:///x", reason: "ENOENT" } },
      /^problem docker: no dockerd answers at unix:\/\/\/x \(ENOENT\); start it/,
    ],
    [
      { docker: { kind: "refused", host: "unix:///d.sock", reason: "it cannot be served" } },
      /^problem docker: it cannot be served$/,
    ],
    [{ daemon: { kind: "silent", reason: "timeout" } }, /^problem daemon: .*timeout; see its log/],
    [
      { daemon: { ...daemon, dns: { state: "given-up", pid: undefined, detail: "died" } } },
      /^problem pontoon-dns: given-up: died/,
    ],
    [
      { containers: seen(container("web", { kind: "failed", code: "NFTABLES_REFUSED", reason: "no" })) },
      /^problem containers: web is not taken over \(NFTABLES_REFUSED\): no; see docs\/errors\.md$/,
    ],
  ];
  for (const [facts, says] of stops) {
    t.match(
      worries(facts).find((line) => line.startsWith("problem")),
      says,
    );
    t.notOk(isWell(findingsOf({ ...healthy, ...facts })));
  }
  const matters: [Partial<Facts>, RegExp][] = [
    [
      { daemon: { kind: "none", runDir: "/run/pontoon" } },
      /^warning daemon: no pontoon daemon runs with \/run\/pontoon: Docker's resolver answers; start one/,
    ],
    [
      { daemon: { ...daemon, docker: { host: "unix:///d.sock", state: "waiting", detail: "ENOENT" } } },
      /^warning daemon: it is waiting for dockerd at unix:\/\/\/d\.sock \(ENOENT\)$/,
    ],
    [
      { docker: { ...dockerd, host: "unix:///e.sock" } },
      /^warning daemon: it follows unix:\/\/\/d\.sock, not unix:\/\/\/e\.sock; give --docker/,
    ],
    [
      { daemon: { ...daemon, dns: { state: "starting", pid: undefined, detail: "" } } },
      /^warning pontoon-dns: it is just starting$/,
    ],
    [
      { containers: seen(container("mesh", { kind: "failed", code: "FOREIGN_DNS_RULES", reason: "rules" })) },
      /^warning containers: mesh: rules; the label pontoon\.dns=off says so openly$/,
    ],
    [
      { containers: seen(container("new", { kind: "waiting", reason: "not taken over yet" })) },
      /^warning containers: not taken over yet: new$/,
    ],
    [
      { host: { ...healthy.host, redirect: { kind: "seen", value: "udp dport 53 redirect" } } },
      /^warning port 53: a rule of the host redirects DNS \(udp dport 53 redirect\); what containers ask/,
    ],
  ];
  for (const [facts, says] of matters) {
    t.same(worries(facts).length, 1);
    t.match(worries(facts)[0], says);
    t.ok(isWell(findingsOf({ ...healthy, ...facts })));
  }
  t.end();
});

t.test("containers are told by what they have in common", (t) => {
  const left = Array.from({ length: 7 }, (_, index) =>
    container(`c${index}`, { kind: "left", reason: "on no user-defined network" }),
  );
  const containers = seen(
    container("a", { kind: "pontoon" }),
    container("b", { kind: "pontoon" }),
    container("off", { kind: "left", reason: "label pontoon.dns=off" }),
    ...left,
  );
  t.same(about("containers", { containers }), [
    "2 answered by pontoon",
    "left to Docker (label pontoon.dns=off): off",
    "left to Docker (on no user-defined network): c0, c1, c2, c3, c4 and 2 more",
  ]);
  const waiting = seen(container("web", { kind: "waiting", reason: "would be answered by pontoon" }));
  t.same(worries({ containers: waiting, daemon: { ...daemon, observe: true } }), [], "one that observes is not late");
  t.same(about("containers", {}), ["none is running"]);
  t.end();
});

t.test("who listens at port 53 is named with its addresses", (t) => {
  const listens = (ip: string, transport: "udp" | "tcp" = "udp") => ({ transport, ip, port: 53 });
  const dnsmasq = {
    pid: 7,
    command: "dnsmasq",
    listeners: [listens("0.0.0.0"), listens("0.0.0.0", "tcp"), listens("::")],
  };
  t.same(about("port 53", { host: { ...healthy.host, holders: [dnsmasq] } }), [
    "the host: dnsmasq (pid 7) listens at udp+tcp 0.0.0.0, udp [::]; pontoon does not need it",
  ]);
  t.same(about("port 53", {}), ["the host: nobody"]);
  const inContainer = (...ips: string[]) =>
    seen(
      container(
        "dns",
        { kind: "pontoon" },
        { kind: "seen", value: [{ pid: undefined, command: undefined, listeners: ips.map((ip) => listens(ip)) }] },
      ),
    );
  t.same(worries({ containers: inContainer("0.0.0.0") }), []);
  t.matchOnly(worries({ containers: inContainer("127.0.0.11") }), [
    /^warning port 53: dns: a program that could not be seen listens at udp 127\.0\.0\.11; no question reaches it .*; let it listen at another address$/,
  ]);
  t.matchOnly(
    worries({ containers: seen(container("gone", { kind: "pontoon" }, { kind: "unseen", reason: "ENOENT" })) }),
    [/could not look into gone/],
  );
  t.end();
});

t.test("leftovers say whether they have an effect, and how they go", (t) => {
  const table = { pid: 5, inode: 1, container: "web", armed: true };
  const none: DaemonFacts = { kind: "none", runDir: "/run/pontoon" };
  const leftovers = {
    tables: {
      kind: "seen",
      value: {
        found: [table, { ...table, container: undefined, armed: false }],
        unread: [
          { pid: 5, container: "many", reason: "RULES" },
          { pid: 6, container: undefined, reason: "OTHER" },
        ],
      },
    },
    files: ["/run/pontoon/dns.sock", "/run/pontoon-1.lock"],
    servers: [77],
  } as const;
  const lines = worries({ daemon: none, leftovers }).filter((line) => line.includes("leftovers"));
  t.matchOnly(lines, [
    /pontoon-dns \(pid 77\) goes on without a daemon for a while.*; start a daemon: it adopts it$/,
    /table pontoon in web, still in effect: it lapses within 6 s.*; the next daemon replaces what is left, pontoon check --repair removes it$/,
    /table pontoon in the network namespace of process 5, without effect/,
    /pontoon's tables could not be looked for in many, the network namespace of process 6: RULES$/,
    /files of a daemon that has ended: \/run\/pontoon\/dns\.sock, \/run\/pontoon-1\.lock/,
  ]);
  t.match(
    worries({ leftovers: { ...leftovers, files: [] } })[0],
    /pontoon-dns \(pid 77\) belongs to another daemon, or to none$/,
  );
  t.end();
});

t.test("without root it says what it could not see, and how to see it", (t) => {
  const unseen = { kind: "unseen", reason: "that needs root" } as const;
  const facts: Facts = {
    ...healthy,
    isRoot: false,
    docker: { kind: "not-allowed", host: "unix:///d.sock" },
    daemon: { kind: "not-allowed" },
    containers: unseen,
    host: { holders: [], redirect: unseen },
    leftovers: { tables: unseen, files: [], servers: [] },
  };
  const lines = worries(facts);
  t.same(
    lines.map((line) => line.split(":")[0]),
    [
      "warning kernel",
      "warning docker",
      "warning daemon",
      "warning containers",
      "warning port 53",
      "warning leftovers",
    ],
  );
  for (const line of lines) t.match(line, /; run pontoon check with sudo$/);
  t.ok(isWell(findingsOf(facts)), "what was not seen is no problem");
  t.end();
});

t.test("folders that cannot be written to are told before something is to be written", (t) => {
  const fault = { code: "ENOSPC", what: "on a full file system (ENOSPC)" };
  t.matchOnly(
    worries({
      folders: [
        { option: "--run-dir", path: "/run/x", fault },
        { option: "--state-dir", path: "/var/x", fault },
      ],
    }),
    [
      "warning run folder: /run/x is on a full file system (ENOSPC): servers may not start; make room",
      /^warning state folder: \/var\/x is on a full file system \(ENOSPC\): what is published cannot be remembered/,
    ],
  );
  t.end();
});
