import t from "tap";
import { parseGoal } from "./goal-words.js";

t.test("a goal is a name or an address, with what is asked for there", (t) => {
  const tcp = (name: string, port: number) => ({ name, transport: "tcp", port });
  for (const [text, goal] of [
    ["web:80", tcp("web", 80)],
    ["web:53/udp", { name: "web", transport: "udp", port: 53 }],
    ["web", { name: "web", transport: "icmp", port: undefined }],
    ["10.0.0.1:80/tcp", tcp("10.0.0.1", 80)],
    ["fd00::0:2", { name: "fd00::2", transport: "icmp", port: undefined }],
    ["[fd00::2]:80", tcp("fd00::2", 80)],
    ["www.example.com:443", tcp("www.example.com", 443)],
  ] as const)
    t.same(parseGoal(text), goal, text);
  for (const text of ["", ":80", "web:", "web:0", "web:70000", "web:80/sctp", "[web]:80", "a/b", "web:80:80"])
    t.equal(parseGoal(text), undefined, text);
  t.end();
});
