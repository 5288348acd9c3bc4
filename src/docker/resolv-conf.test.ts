import t from "tap";
import { parseExternalServers, parseResolvConf } from "./resolv-conf.js";

t.test("nameservers, search list and options are read", (t) => {
  const content = `# made by hand
nameserver 10.0.0.2
nameserver\t2001:db8::1
search corp.example  example
options ndots:2 timeout:1
options rotate
`;
  t.same(parseResolvConf(content), {
    nameservers: ["10.0.0.2", "2001:db8::1"],
    search: ["corp.example", "example"],
    options: ["ndots:2", "timeout:1", "rotate"],
  });
  t.end();
});

t.test("odd lines cost themselves only", (t) => {
  const cases: [what: string, content: string, expected: Partial<ReturnType<typeof parseResolvConf>>][] = [
    ["nothing", "", { nameservers: [], search: [], options: [] }],
    ["a host name as server", "nameserver dns.example\nnameserver 10.0.0.2", { nameservers: ["10.0.0.2"] }],
    ["a server without an address", "nameserver\nnameserver 10.0.0.2", { nameservers: ["10.0.0.2"] }],
    ["an address with a zone", "nameserver fe80::1%eth0", { nameservers: ["fe80::1%eth0"] }],
    [
      "a comment of either kind",
      "#nameserver 10.0.0.1\n;nameserver 10.0.0.2\nnameserver 10.0.0.3 # mine",
      { nameservers: ["10.0.0.3"] },
    ],
    [
      "lines of another system",
      "nameserver 10.0.0.2\r\noptions ndots:1\r\n",
      { nameservers: ["10.0.0.2"], options: ["ndots:1"] },
    ],
    ["a line further in", "   nameserver 10.0.0.2", { nameservers: ["10.0.0.2"] }],
    ["a domain", "domain example", { search: ["example"] }],
    [
      "several search lists, of which the last counts",
      "domain one\nsearch two three\nsearch four",
      { search: ["four"] },
    ],
    ["a search list that is switched off", "search .", { search: [] }],
    ["an unknown keyword", "sortlist 10.0.0.0\nnameserver 10.0.0.2", { nameservers: ["10.0.0.2"] }],
    ["no newline at the end", "options ndots:0", { options: ["ndots:0"] }],
  ];
  for (const [what, content, expected] of cases) {
    const parsed = parseResolvConf(content);
    t.same({ ...parsed, ...expected }, parsed, what);
  }
  t.end();
});

t.test("the servers dockerd says it forwards to are read", (t) => {
  const content = (line: string) =>
    `nameserver 127.0.0.11\noptions ndots:0\n\n# Based on host file: '/etc/resolv.conf' (internal resolver)\n${line}\n# Overrides: []\n`;
  t.same(parseExternalServers(content("# ExtServers: [host(10.0.0.2) 8.8.8.8 host(2001:db8::1)]")), [
    { ip: "10.0.0.2", fromHost: true },
    { ip: "8.8.8.8", fromHost: false },
    { ip: "2001:db8::1", fromHost: true },
  ]);
  t.same(parseExternalServers(content("# ExtServers: []")), [], "none is something else than not said");
  t.equal(parseExternalServers(content("# Nothing")), undefined);
  t.equal(parseExternalServers(""), undefined);
  t.same(
    parseExternalServers("# ExtServers: [nonsense host() 10.0.0.2]"),
    [{ ip: "10.0.0.2", fromHost: false }],
    "what is not an address is skipped",
  );
  t.end();
});
