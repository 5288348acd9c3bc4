import dnsPacket, { type Answer } from "dns-packet";
import t from "tap";
import { encodeQuestion, explainedAnswer, explainedText, recordsText } from "./dns.js";

const decode = (query: string) => dnsPacket.decode(Buffer.from(query, "base64"));

t.test("a question is encoded as a container would ask it", (t) => {
  t.match(decode(encodeQuestion("Web.Front", "aaaa")), {
    type: "query",
    flag_rd: true,
    questions: { length: 1, 0: { name: "Web.Front", type: "AAAA", class: "IN" } },
    additionals: { length: 1, 0: { type: "OPT", udpPayloadSize: 4096 } },
  });
  t.match(decode(encodeQuestion("_http._tcp.web", "SRV")), { questions: { length: 1, 0: { type: "SRV" } } });
  t.match(decode(encodeQuestion("web.", "A")), { questions: { length: 1, 0: { name: "web" } } });
  t.end();
});

t.test("what cannot be asked is refused with what to write", (t) => {
  const cases: [name: string, type: string][] = [
    ["web", "NOSUCH"],
    ["x".repeat(64), "A"],
    ["a..b", "A"],
    ["", "A"],
    ["x.".repeat(200), "A"],
  ];
  for (const [name, type] of cases)
    t.throws(
      () => encodeQuestion(name, type),
      { code: "BAD_QUESTION", message: /write a name and a type/ },
      `${name.slice(0, 10)} ${type}`,
    );
  t.end();
});

t.test("names are listed as a table", (t) => {
  t.match(recordsText([]).join("\n"), /^No container/);
  const row = { network: "front", name: "web", container: "web1", ipv4: "10.0.0.2", ipv6: undefined, ttl: 5 };
  t.equal(
    recordsText([row]).join("\n"),
    "NETWORK  NAME  CONTAINER  IPV4      IPV6  TTL\nfront    web   web1       10.0.0.2  -     5 s",
  );
  t.end();
});

/** An explanation of a reply with these answers. */
function explained(answers: Answer[], rcode = 0) {
  const packet = {
    type: "response" as const,
    id: 1,
    flags: rcode,
    questions: [{ name: "web", type: "A" as const }],
    answers,
  };
  const reply = dnsPacket.encode(packet).toString("base64");
  return explainedAnswer("web A", {
    reply,
    source: { kind: "local", network: "front", names: ["web1"] },
    took: 0.25,
    steps: ["asked as app, on front"],
  });
}

t.test("every kind of record is shown as text", (t) => {
  const ttl = 5;
  const cases: [answer: Answer, data: string | RegExp][] = [
    [{ name: "web", type: "A", ttl, data: "10.0.0.2" }, "10.0.0.2"],
    [{ name: "web", type: "AAAA", ttl, data: "fd00::2" }, "fd00::2"],
    [{ name: "web", type: "PTR", ttl, data: "web.front" }, "web.front"],
    [
      { name: "web", type: "SRV", ttl, data: { priority: 0, weight: 0, port: 80, target: "web.front" } },
      "0 0 80 web.front",
    ],
    [{ name: "web", type: "TXT", ttl, data: ["v=1", "two words"] }, /v=1.*two words/],
  ];
  for (const [answer, data] of cases)
    t.match(
      explained([answer]).answers,
      { length: 1, 0: { name: "web", type: answer.type, ttl: 5, data } },
      answer.type,
    );
  t.end();
});

t.test("an explained answer is told with where it came from", (t) => {
  const text = explainedText(explained([{ name: "web", type: "A", ttl: 5, data: "10.0.0.2" }])).join("\n");
  t.equal(
    text,
    "web A: NOERROR, 1 record, 0.25 ms\nweb  5  A  10.0.0.2\n- asked as app, on front\n- found on network front: web1",
  );
  t.match(explainedText(explained([], 3)).join("\n"), /^web A: NXDOMAIN, 0 records, /);
  t.end();
});
