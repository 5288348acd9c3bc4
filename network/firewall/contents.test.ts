import t from "tap";
import { contentsOf } from "./contents.js";
import { canForward, internalRanges, type FirewallNetwork, type FirewallWanted, type KernelForward } from "./wanted.js";

const network: FirewallNetwork = {
  name: "web",
  bridge: "pontoon1",
  subnets: ["10.1.0.0/24", "fd00:1::/64"],
  internal: false,
  icc: true,
  masquerade: true,
};
const inner: FirewallNetwork = {
  ...network,
  name: "inner",
  bridge: "pontoon2",
  subnets: ["10.2.0.0/24"],
  internal: true,
};
const nothing: FirewallWanted = {
  networks: [],
  forwards: [],
  links: [],
  others: [],
  bridgesFiltered: false,
  overlays: [],
};
const forward: KernelForward = {
  owner: "sandbox web",
  transport: "tcp",
  ip: undefined,
  port: 80,
  to: { ip: "10.1.0.2", port: 8080 },
};

t.test("what the kernel cannot forward is left to the proxy", (t) => {
  const cases: [more: Partial<KernelForward>, can: boolean][] = [
    [{}, true],
    [{ ip: "0.0.0.0" }, true],
    [{ ip: "192.0.2.1" }, true],
    [{ ip: "::" }, false],
    [{ ip: "2001:db8::1" }, false],
    [{ ip: "127.0.0.1" }, false],
    [{ ip: "127.1.2.3" }, false],
    [{ ip: "::1", to: { ip: "fd00:1::2", port: 80 } }, false],
    [{ ip: "fe80::1%3", to: { ip: "fd00:1::2", port: 80 } }, false],
    [{ ip: "::", to: { ip: "fd00:1::2", port: 80 } }, true],
    [{ to: { ip: "10.2.0.2", port: 80 } }, false],
    [{ to: { ip: "127.0.0.1", port: 80 } }, false],
    [{ to: { ip: "172.17.0.2", port: 80 } }, true],
  ];
  for (const [more, can] of cases) {
    const given = { ...forward, ...more };
    t.equal(canForward(given, internalRanges([network, inner])), can, JSON.stringify(more));
    const contents = contentsOf({ ...nothing, networks: [network, inner], forwards: [given] });
    const published = [...contents.keys()].filter((set) => set.startsWith("inet published"));
    t.equal(published.length, can ? 1 : 0);
  }
  t.end();
});

t.test("what is named twice stands there once", (t) => {
  const contents = contentsOf({
    ...nothing,
    networks: [network, { ...network, name: "again" }],
    forwards: [forward, { ...forward, to: { ip: "10.1.0.3", port: 1 } }],
    others: ["docker0", "docker0"],
  });
  for (const [set, entries] of contents) t.equal(entries.size, set === "inet within" ? 2 : 1, set);
  t.end();
});

t.test("a comment is short, and on one line", (t) => {
  for (const [owner, comment] of [
    ["sandbox web", "pontoon sandbox web"],
    ['a"b\nc\u202e', "pontoon a'b\\nc\\u202e"],
    ["é".repeat(200), `pontoon ${"é".repeat(56)}`],
    [`x${"é".repeat(200)}`, `pontoon x${"é".repeat(55)}`],
  ] as const) {
    const [entry] = contentsOf({ ...nothing, forwards: [{ ...forward, owner }] })
      .get("inet published4")!
      .values();
    t.equal(entry!.elements[0]!.comment, comment);
  }
  t.end();
});

t.test("links are of one family", (t) => {
  const link = { owner: "sandbox a", transport: "udp", port: 53 } as const;
  const contents = contentsOf({
    ...nothing,
    links: [
      { ...link, from: "10.1.0.2", to: "fd00:1::2" },
      { ...link, from: "fd00:1::3", to: "fd00:1::2" },
    ],
  });
  t.same([...contents.keys()], ["inet linked6", "bridge linked6"]);
  t.end();
});
