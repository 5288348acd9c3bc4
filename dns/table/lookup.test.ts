import dnsPacket, { type Answer } from "dns-packet";
import t from "tap";
import { ClientView } from "./lookup.js";
import { keyOfText } from "../wire/name.js";
import type { EndpointRecord, NetworkRecord } from "../protocol.js";
import { CLASS, RCODE, TYPE, type Question } from "../wire/query.js";
import { buildReply } from "../wire/reply.js";
import { Zones } from "./zone.js";

type Links = readonly (readonly [alias: string, target: string])[];
type TypeName = keyof typeof TYPE;

/** What a client gets: the records' lines, or why there are none. `not ours` is for others to answer. */
type Got = readonly string[] | "NODATA" | "NXDOMAIN" | "not ours";

/** A table of networks, and what a client on some of them sees. */
class Table {
  readonly zones = new Zones();

  network(id: string, given: Partial<NetworkRecord> = {}): this {
    this.zones.putNetwork({ source: "docker", id, name: id, shared: false, ...given });
    return this;
  }

  put(network: string, container: string, given: Partial<EndpointRecord> = {}): this {
    this.zones.putEndpoint({
      source: "docker",
      network,
      container,
      names: [container],
      ipv4: undefined,
      ipv6: undefined,
      ports: [],
      ttl: 5,
      ...given,
    });
    return this;
  }

  client(...networks: (string | readonly [network: string, links: Links])[]): Client {
    return new Client(
      this.zones,
      networks.map((entry) =>
        typeof entry === "string" ? { id: entry, links: [] } : { id: entry[0], links: entry[1] },
      ),
    );
  }
}

class Client {
  readonly view: ClientView;

  constructor(zones: Zones, networks: readonly { id: string; links: Links }[]) {
    const forwarding = { kind: "never" } as const;
    this.view = new ClientView(
      {
        source: "docker",
        id: "s",
        container: "client",
        containerName: "client",
        networks,
        forwarding,
        singleLabels: "forward",
        sharesAnswers: false,
        search: [],
      },
      zones,
    );
  }

  ask(name: string, typeName: TypeName = "A"): Got {
    const reply = this.#reply(name, TYPE[typeName]);
    if (reply === undefined) return "not ours";
    if (reply.rcode === "NXDOMAIN") return "NXDOMAIN";
    return reply.answers?.length ? reply.answers.map(line) : "NODATA";
  }

  ttls(name: string, typeName: TypeName = "A"): number[] {
    return (this.#reply(name, TYPE[typeName])?.answers ?? []).map((answer) =>
      "ttl" in answer ? (answer.ttl ?? 0) : 0,
    );
  }

  additional(name: string): string[] {
    return (this.#reply(name, TYPE.SRV)?.additionals ?? []).map((answer) => `${answer.name} ${line(answer)}`);
  }

  /** Through the reply's bytes, so that what a client reads is what is tested. */
  #reply(name: string, type: number) {
    const local = this.view.answer(keyOfText(name)!, type);
    if (!local) return undefined;
    const message = dnsPacket.encode({ type: "query", id: 1, questions: [{ name, type: "A" }] });
    const question: Question = {
      kind: "question",
      key: "",
      type,
      class: CLASS.IN,
      flags: 0,
      end: message.length,
      edns: undefined,
    };
    const rcode = local.exists ? RCODE.NOERROR : RCODE.NXDOMAIN;
    const reply = dnsPacket.decode(
      buildReply(message, question, { rcode, records: local.records, additional: local.additional }, 65535),
    );
    return reply as typeof reply & { rcode: string };
  }
}

function line(answer: Answer): string {
  if (answer.type === "SRV")
    return `SRV ${answer.data.priority} ${answer.data.weight} ${answer.data.port} ${answer.data.target}`;
  if (answer.type === "A" || answer.type === "AAAA" || answer.type === "PTR") return `${answer.type} ${answer.data}`;
  if (answer.type === "HINFO") return `HINFO ${answer.data.cpu}`;
  throw new Error(`no ${answer.type} is expected`);
}

const reverse = (ip: string) => `${ip.split(".").reverse().join(".")}.in-addr.arpa`;

t.test("a name is looked up on the client's networks only", (t) => {
  const table = new Table().network("front").network("back").network("other");
  table
    .put("front", "web", { ipv4: "10.1.0.2" })
    .put("back", "db", { ipv4: "10.2.0.3", ipv6: "fd00:2::3" })
    .put("other", "far", { ipv4: "10.3.0.4" });
  const client = table.client("front", "back");
  t.same(client.ask("web"), ["A 10.1.0.2"]);
  t.same(client.ask("db"), ["A 10.2.0.3"]);
  t.same(client.ask("db", "AAAA"), ["AAAA fd00:2::3"]);
  t.equal(client.ask("far"), "not ours");
  t.equal(client.ask("far.other"), "not ours", "naming the network does not open it");
  t.equal(client.ask("nosuch"), "not ours");
  t.equal(table.client().ask("web"), "not ours");
  t.equal(client.view.answer("", TYPE.A), undefined, "the root");
  t.end();
});

t.test("name.network asks that network alone", (t) => {
  const table = new Table()
    .network("n1", { name: "front" })
    .network("n2", { name: "proj_default" })
    .network("n3", { name: "a.dotted.net" });
  table
    .put("n1", "web", { ipv4: "10.1.0.2" })
    .put("n2", "web", { ipv4: "10.2.0.2" })
    .put("n3", "web", { ipv4: "10.3.0.2" });
  const client = table.client("n1", "n2", "n3");
  t.same(client.ask("web.front"), ["A 10.1.0.2"]);
  t.same(client.ask("web.proj_default"), ["A 10.2.0.2"]);
  t.same(client.ask("web.a.dotted.net"), ["A 10.3.0.2"]);
  t.equal(client.ask("web.n1"), "not ours", "a network's id is not a name");
  t.equal(client.ask("front"), "not ours", "nor is a network's name alone");
  t.equal(client.ask("web.front.example"), "not ours");
  t.end();
});

t.test("the whole name comes first, then splits from the right", (t) => {
  const table = new Table().network("c").network("b.c").network("late");
  table.put("c", "one", { names: ["a.b"], ipv4: "10.0.0.1" }).put("b.c", "two", { names: ["a"], ipv4: "10.0.0.2" });
  const client = table.client("b.c", "c", "late");
  t.same(client.ask("a.b.c"), ["A 10.0.0.1"], "(a.b, c) before (a, b.c)");
  table.put("late", "three", { names: ["a.b.c"], ipv4: "10.0.0.3" });
  t.same(client.ask("a.b.c"), ["A 10.0.0.3"], "the whole name before either, on whatever network");
  t.end();
});

t.test("the first network that has an address of the family answers alone", (t) => {
  const table = new Table().network("n1").network("n2").network("n3");
  table.put("n1", "x1", { names: ["svc"], ipv4: "10.1.0.1" });
  table.put("n2", "x2", { names: ["svc"], ipv4: "10.2.0.1", ipv6: "fd00::2" });
  table.put("n3", "x3", { names: ["svc"], ipv6: "fd00::3" });
  t.same(table.client("n1", "n2", "n3").ask("svc"), ["A 10.1.0.1"], "nothing is merged");
  t.same(table.client("n1", "n2", "n3").ask("svc", "AAAA"), ["AAAA fd00::2"]);
  t.same(table.client("n3", "n2", "n1").ask("svc", "AAAA"), ["AAAA fd00::3"], "the order is the client's");
  t.same(table.client("n3", "n2", "n1").ask("svc"), ["A 10.2.0.1"]);
  t.same(table.client("n1").ask("svc", "AAAA"), "NODATA");
  t.end();
});

t.test("all containers of a name on its network answer", (t) => {
  const table = new Table().network("n");
  for (const last of [1, 2, 3]) table.put("n", `web${last}`, { names: [`web${last}`, "web"], ipv4: `10.0.0.${last}` });
  const client = table.client("n");
  t.same(client.ask("web"), ["A 10.0.0.1", "A 10.0.0.2", "A 10.0.0.3"]);
  table.zones.removeEndpoint("n", "web2");
  t.same(client.ask("web"), ["A 10.0.0.1", "A 10.0.0.3"]);
  t.equal(client.ask("web2"), "not ours");
  t.end();
});

t.test("letter case makes no difference anywhere", (t) => {
  const table = new Table()
    .network("n", { name: "Front" })
    .put("n", "c", { names: ["Web-1"], ipv4: "10.0.0.1", ports: [[80, "tcp"]] });
  const client = table.client(["n", [["Lnk", "WEB-1"]]]);
  for (const name of ["web-1", "WEB-1", "web-1.front", "WEB-1.FRONT", "lnk", "LNK", "LnK.FrOnT"])
    t.same(client.ask(name), ["A 10.0.0.1"], name);
  t.same(client.ask("_HTTP._TCP.WEB-1", "SRV"), ["SRV 0 0 80 Web-1.Front"]);
  t.same(client.ask("1.0.0.10.IN-ADDR.ARPA", "PTR"), ["PTR Web-1.Front"], "names are shown as they were given");
  t.end();
});

t.test("a dot inside a label separates nothing", (t) => {
  const table = new Table().network("red").put("red", "db", { ipv4: "10.0.0.1" });
  t.ok(table.client("red").view.answer("\x02db\x03red", TYPE.A));
  t.equal(table.client("red").view.answer("\x06db.red", TYPE.A), undefined);
  t.end();
});

t.test("a link is private to its client", (t) => {
  const table = new Table()
    .network("n")
    .network("m")
    .put("n", "web", { ipv4: "10.0.0.1" })
    .put("m", "web", { ipv4: "10.9.0.1" });
  const linked = table.client(["n", [["lnk", "web"]]], "m");
  t.same(linked.ask("lnk"), ["A 10.0.0.1"]);
  t.same(linked.ask("lnk.n"), ["A 10.0.0.1"]);
  t.equal(linked.ask("lnk.m"), "not ours", "it belongs to its network");
  t.same(linked.ask("web"), ["A 10.0.0.1"], "the target keeps its own name");
  t.equal(table.client("n", "m").ask("lnk"), "not ours");
  t.end();
});

t.test("a link hides the real name on its own network only, and goes before real names", (t) => {
  const table = new Table().network("n").network("m");
  table
    .put("n", "db", { ipv4: "10.0.0.1" })
    .put("n", "web", { ipv4: "10.0.0.2" })
    .put("m", "db", { ipv4: "10.9.0.1" })
    .put("m", "other", { ipv4: "10.9.0.2" });
  t.same(table.client(["n", [["db", "web"]]], "m").ask("db"), ["A 10.0.0.2"]);
  t.same(table.client("n", ["m", [["db", "other"]]]).ask("db"), ["A 10.9.0.2"], "also from a later network");
  t.same(table.client(["n", [["db", "gone"]]], "m").ask("db"), ["A 10.9.0.1"], "a link to nobody still hides");
  t.equal(table.client(["n", [["db", "gone"]]]).ask("db"), "not ours");
  t.same(
    table
      .client([
        "n",
        [
          ["a..b", "web"],
          ["ok", "web"],
        ],
      ])
      .ask("ok"),
    ["A 10.0.0.2"],
    "a link DNS cannot carry costs itself only",
  );
  t.end();
});

t.test("a link finds whoever bears its target's name at the moment", (t) => {
  const table = new Table().network("n");
  const client = table.client(["n", [["lnk", "web"]]]);
  t.equal(client.ask("lnk"), "not ours");
  table.put("n", "c1", { names: ["web"], ipv4: "10.0.0.1" });
  t.same(client.ask("lnk"), ["A 10.0.0.1"]);
  table.put("n", "c1", { names: ["web"], ipv4: "10.0.0.7" });
  t.same(client.ask("lnk"), ["A 10.0.0.7"]);
  t.end();
});

t.test("a known name has no data of other types, and is never asked of others", (t) => {
  const table = new Table().network("n").put("n", "web", { ipv4: "10.0.0.1", ports: [[80, "tcp"]] });
  const client = table.client("n");
  for (const type of ["AAAA", "MX", "TXT", "CNAME", "NS", "SOA", "SRV", "PTR", "HTTPS", "HINFO"] as const)
    t.equal(client.ask("web", type), "NODATA", type);
  t.same(client.ask("web", "ANY"), ["HINFO RFC8482"]);
  for (const type of ["A", "AAAA", "TXT", "SRV"] as const)
    t.equal(client.ask(reverse("10.0.0.1"), type), "NODATA", `${type} of an address`);
  t.same(client.ask(reverse("10.0.0.1"), "ANY"), ["HINFO RFC8482"]);
  t.equal(client.ask("nosuch", "ANY"), "not ours");
  t.end();
});

t.test("an address on the client's networks is told by its first name", (t) => {
  const table = new Table().network("n1", { name: "front" }).network("n2", { name: "back" });
  table
    .put("n1", "c", { names: ["web", "alias"], ipv4: "10.1.0.2", ipv6: "fd00::1:2" })
    .put("n2", "d", { names: ["db"], ipv4: "10.2.0.2" });
  const client = table.client("n1");
  t.same(client.ask(reverse("10.1.0.2"), "PTR"), ["PTR web.front"]);
  t.same(client.ask("2.0.0.0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", "PTR"), [
    "PTR web.front",
  ]);
  t.equal(client.ask(reverse("10.2.0.2"), "PTR"), "not ours", "another network's");
  t.equal(client.ask(reverse("10.1.0.3"), "PTR"), "not ours", "nobody's");
  table.put("n1", "long", { names: ["x".repeat(64), "fits"], ipv4: "10.1.0.9" });
  t.same(client.ask(reverse("10.1.0.9"), "PTR"), ["PTR fits.front"], "the first name DNS can carry");
  table.put("n1", "unnamed", { names: ["x".repeat(64)], ipv4: "10.1.0.10" });
  t.equal(client.ask(reverse("10.1.0.10"), "PTR"), "NODATA", "none");
  t.end();
});

t.test("an address that was used again belongs to whoever still has it", (t) => {
  type Step = "put a" | "put b" | "remove a" | "remove b" | "move a" | "move b";
  const cases: [steps: Step[], owner: string | undefined][] = [
    [["put a", "remove a", "put b"], "b"],
    [["put a", "put b", "remove a"], "b"],
    [["put a", "put b", "remove b"], "a"],
    [["put b", "put a", "put b", "remove b"], "a"],
    [["put a", "put b", "move a"], "b"],
    [["put a", "put b", "move b"], "a"],
    [["put a", "put b", "remove a", "remove b"], undefined],
    [["put a", "put b", "remove b", "remove a"], undefined],
  ];
  for (const [steps, owner] of cases) {
    const table = new Table().network("n");
    for (const step of steps) {
      const [verb, container] = step.split(" ") as [string, string];
      if (verb === "remove") table.zones.removeEndpoint("n", container);
      else table.put("n", container, { ipv4: verb === "put" ? "10.0.0.1" : "10.0.0.99" });
    }
    t.same(
      table.client("n").ask(reverse("10.0.0.1"), "PTR"),
      owner === undefined ? "not ours" : [`PTR ${owner}.n`],
      steps.join(", "),
    );
  }
  t.end();
});

t.test("services are found by port and by name, where the port is exposed", (t) => {
  const table = new Table().network("n", { name: "front" });
  table.put("n", "web", {
    ipv4: "10.0.0.1",
    ipv6: "fd00::1",
    ports: [
      [53, "udp"],
      [80, "tcp"],
      [3868, "sctp"],
    ],
  });
  const client = table.client(["n", [["lnk", "web"]]]);
  const cases: [name: string, type: TypeName, expected: Got][] = [
    ["_80._tcp.web", "SRV", ["SRV 0 0 80 web.front"]],
    ["_http._tcp.web", "SRV", ["SRV 0 0 80 web.front"]],
    ["_http._tcp.web.front", "SRV", ["SRV 0 0 80 web.front"]],
    ["_http._tcp.lnk", "SRV", ["SRV 0 0 80 web.front"]],
    ["_domain._udp.web", "SRV", ["SRV 0 0 53 web.front"]],
    ["_3868._sctp.web", "SRV", ["SRV 0 0 3868 web.front"]],
    ["_http._tcp.web", "ANY", ["HINFO RFC8482"]],
    ["_http._tcp.web", "A", "NODATA"],
    ["_http._tcp.web", "TXT", "NODATA"],
    ["_domain._tcp.web", "SRV", "NXDOMAIN"],
    ["_http._udp.web", "SRV", "NXDOMAIN"],
    ["_81._tcp.web", "SRV", "NXDOMAIN"],
    ["_99999._tcp.web", "SRV", "NXDOMAIN"],
    ["_nosuch._tcp.web", "SRV", "NXDOMAIN"],
    ["_nosuch._tcp.web", "A", "NXDOMAIN"],
    ["_81._tcp.web", "ANY", "NXDOMAIN"],
    ["_tcp.web", "SRV", "NODATA"],
    ["_udp.web.front", "NS", "NODATA"],
    ["_http._tcp.nosuch", "SRV", "not ours"],
    ["_tcp.nosuch", "SRV", "not ours"],
    ["_http._other.web", "SRV", "not ours"],
    ["_http._tcp", "SRV", "not ours"],
    ["_tcp", "SRV", "not ours"],
    ["_http", "SRV", "not ours"],
    ["http._tcp.web", "SRV", "not ours"],
  ];
  for (const [name, type, expected] of cases) t.same(client.ask(name, type), expected, `${name} ${type}`);
  t.end();
});

t.test("services bring the addresses of their targets along, each once", (t) => {
  const table = new Table().network("n", { name: "front" });
  table.put("n", "a", {
    names: ["a", "web"],
    ipv4: "10.0.0.1",
    ipv6: "fd00::1",
    ports: [
      [8008, "tcp"],
      [8080, "tcp"],
    ],
  });
  table.put("n", "b", { names: ["b", "web"], ipv4: "10.0.0.2", ports: [[8080, "tcp"]] });
  table.put("n", "c", { names: ["c", "web"], ipv4: "10.0.0.3" });
  const client = table.client("n");
  t.same(client.ask("_8080._tcp.web", "SRV"), ["SRV 0 0 8080 a.front", "SRV 0 0 8080 b.front"]);
  t.same(client.additional("_8080._tcp.web"), ["a.front A 10.0.0.1", "a.front AAAA fd00::1", "b.front A 10.0.0.2"]);
  t.same(client.ask("_http-alt._tcp.web", "SRV"), [
    "SRV 0 0 8008 a.front",
    "SRV 0 0 8080 a.front",
    "SRV 0 0 8080 b.front",
  ]);
  t.same(
    client.additional("_http-alt._tcp.web"),
    ["a.front A 10.0.0.1", "a.front AAAA fd00::1", "b.front A 10.0.0.2"],
    "a record is said once in a message",
  );
  t.end();
});

t.test("an address several containers have is given once", (t) => {
  const table = new Table().network("n");
  for (const container of ["a", "b"])
    table.put("n", container, { names: ["svc"], ipv4: "10.0.0.1", ipv6: `fd00::${container}` });
  t.same(table.client("n").ask("svc"), ["A 10.0.0.1"]);
  t.same(table.client("n").ask("svc", "AAAA"), ["AAAA fd00::a", "AAAA fd00::b"]);
  t.end();
});

t.test("the records of one set have one TTL, the smallest", (t) => {
  const table = new Table().network("n");
  table.put("n", "a", { names: ["a", "svc"], ipv4: "10.0.0.1", ttl: 60, ports: [[80, "tcp"]] });
  table.put("n", "b", { names: ["b", "svc"], ipv4: "10.0.0.2", ttl: 3, ports: [[80, "tcp"]] });
  table.put("n", "c", { names: ["c", "svc"], ipv4: "10.0.0.3", ttl: 0, ipv6: "fd00::3" });
  const client = table.client("n");
  t.same(client.ttls("svc"), [0, 0, 0]);
  t.same(client.ttls("a"), [60]);
  t.same(client.ttls("_80._tcp.svc", "SRV"), [3, 3], "of those that are in the set");
  t.same(client.ttls("svc", "AAAA"), [0]);
  t.same(client.ttls(reverse("10.0.0.1"), "PTR"), [60]);
  t.end();
});

t.test("an answer says where it came from", (t) => {
  const table = new Table().network("n1", { name: "front" }).put("n1", "0123", { names: ["web"], ipv4: "10.0.0.1" });
  t.same(table.client("n1").view.answer("\x03web", TYPE.A)?.source, {
    kind: "local",
    network: "front",
    names: ["web"],
  });
  t.end();
});

t.test("a client on a network of several hosts is known to be", (t) => {
  const table = new Table().network("n").network("o", { shared: true });
  t.equal(table.client("n").view.seesSharedNetwork, false);
  t.equal(table.client("n", "o").view.seesSharedNetwork, true);
  t.equal(table.client("gone").view.seesSharedNetwork, false, "a network that is not known is not");
  t.end();
});

t.test("a network that is gone or not there yet is passed over", (t) => {
  const table = new Table()
    .network("n")
    .network("m")
    .put("n", "web", { ipv4: "10.0.0.1" })
    .put("m", "web", { ipv4: "10.9.0.1" });
  const client = table.client("not yet", "n", "m");
  t.same(client.ask("web"), ["A 10.0.0.1"]);
  table.zones.removeNetwork("n");
  t.same(client.ask("web"), ["A 10.9.0.1"]);
  t.equal(client.ask("web.n"), "not ours");
  t.end();
});

t.test("a client on many networks gets what one on few gets: links first, then its networks in order", (t) => {
  const table = new Table();
  const many = ["n1", "n2", "n3", "n4", "n5", "n6", "n7"];
  for (const id of [...many, "elsewhere"]) table.network(id);
  table
    .put("n5", "c5", { names: ["web"], ipv4: "10.0.0.5" })
    .put("n2", "c2", { names: ["web"], ipv4: "10.0.0.2" })
    .put("elsewhere", "x", { names: ["web", "far"], ipv4: "10.0.0.9" });
  table.put("n6", "c6", { names: ["db"], ipv4: "10.0.0.6" });
  const client = table.client(...many);
  t.same(client.ask("web"), ["A 10.0.0.2"]);
  t.same(client.ask("web.n5"), ["A 10.0.0.5"]);
  t.equal(client.ask("far"), "not ours");
  t.equal(client.ask("far.elsewhere"), "not ours");
  t.same(client.ask("5.0.0.10.in-addr.arpa", "PTR"), ["PTR web.n5"]);
  t.same(
    table.client("n1", "n2", "n3", "n4", "n5", ["n6", [["web", "db"]]]).ask("web"),
    ["A 10.0.0.6"],
    "a link on a later network goes first",
  );
  t.same(
    table.client("n1", ["n2", [["web", "nobody"]]], "n3", "n4", "n5", "n6").ask("web"),
    ["A 10.0.0.5"],
    "a link hides the name on its own network",
  );
  table.zones.removeEndpoint("n2", "c2");
  t.same(client.ask("web"), ["A 10.0.0.5"]);
  table.zones.removeNetwork("n5");
  t.equal(client.ask("web"), "not ours");
  t.equal(client.ask("web.n5"), "not ours");
  table.zones.putNetwork({ source: "docker", id: "n6", name: "renamed", shared: false });
  t.same(client.ask("db.renamed"), ["A 10.0.0.6"]);
  t.equal(client.ask("db.n6"), "not ours");
  t.end();
});
