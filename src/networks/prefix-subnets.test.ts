import t from "tap";
import { Subnet } from "../../network/addresses/subnet.js";
import { choosePart, followed, isFromPrefix, moved, prefixSourceOf } from "./prefix-subnets.js";
import { refusalOf } from "./testing/records.js";

const [whole, large, site] = ["2001:db8:7::/64", "2001:db8:8::/56", "fd00:7::/64"].map((text) =>
  Subnet.parse(text),
) as [Subnet, Subnet, Subnet];
const own = "2001:db8:7::1";

t.test("a part is written with its link, and its length if it matters", (t) => {
  t.ok(isFromPrefix("from:eth0"));
  t.notOk(isFromPrefix("fd00::/64"));
  t.same(prefixSourceOf("from:eth0.10/96"), { link: "eth0.10", bits: 96 });
  t.same(prefixSourceOf("from:eth0"), { link: "eth0", bits: undefined });
  for (const text of [
    "from:",
    "from:/64",
    "from:eth0/",
    "from:eth0/47",
    "from:eth0/121",
    "from:a/b/64",
    "from:a:b",
    "from:sixteen-letters-",
  ])
    t.equal(refusalOf(() => prefixSourceOf(text))[0], "SUBNET_INVALID", text);
  t.end();
});

t.test("the first part that is free, but for that which has the addresses people choose", (t) => {
  const choose = (text: string, prefixes = [whole], taken: string[] = [], addresses = [own]) => {
    const users = taken.map((subnet) => ({ subnet: Subnet.parse(subnet), by: "somebody" }));
    const { subnet, part } = choosePart(text, prefixes, addresses, users);
    return [subnet.text, part] as const;
  };
  t.same(choose("from:eth0"), ["2001:db8:7:0:1::/80", { link: "eth0", bits: 80, number: 1 }]);
  t.same(choose("from:eth0/96")[0], "2001:db8:7::1:0:0/96");
  t.same(choose("from:eth0", [large])[0], "2001:db8:8:1::/64", "of a larger prefix a /64");
  t.same(choose("from:eth0", [site, whole])[0], "fd00:7:0:0:1::/80", "the first prefix counts");
  t.same(choose("from:eth0", [whole], ["2001:db8:7:0:1::/80"])[0], "2001:db8:7:0:2::/80");
  t.same(
    choose("from:eth0", [whole], [], ["2001:db8:7:0:1::5"])[0],
    "2001:db8:7:0:2::/80",
    "the host has an address there",
  );
  for (const [work, code] of [
    [() => choose("from:eth0", []), "SUBNET_NEEDED"],
    [() => choose("from:eth0/64"), "SUBNET_INVALID"],
    [() => choose("from:eth0", [whole], ["2001:db8::/32"]), "NO_FREE_SUBNET"],
    [() => choose("from:eth0/65", [whole], ["2001:db8:7:0:8000::/65"]), "NO_FREE_SUBNET"],
  ] as const)
    t.equal(refusalOf(work)[0], code);
  t.end();
});

t.test("the same part of another prefix, once the link has the old one no more", (t) => {
  const record = {
    subnet: "2001:db8:7:0:3::/80",
    gateway: "2001:db8:7:0:3::1",
    from: { link: "eth0", bits: 80, number: 3 },
  };
  const next = Subnet.parse("2001:db8:9::/64");
  const follow = (...prefixes: Subnet[]) => followed(record, prefixes)?.text;
  t.equal(follow(next), "2001:db8:9:0:3::/80");
  t.equal(follow(site, next), "2001:db8:9:0:3::/80");
  t.equal(follow(large), "2001:db8:8:0:3::/80");
  for (const prefixes of [[], [whole], [next, whole], [site]])
    t.equal(follow(...prefixes), undefined, prefixes.join(" "));
  t.equal(followed({ ...record, from: { ...record.from, bits: 60 } }, [next]), undefined, "there is no such part");
  t.equal(followed({ subnet: record.subnet, gateway: record.gateway }, [next]), undefined, "it follows nothing");
  const [from, to] = [Subnet.parse(record.subnet), Subnet.parse("2001:db8:9:0:3::/80")];
  t.equal(moved("2001:db8:7:0:3::a5", from, to), "2001:db8:9:0:3::a5");
  t.equal(moved("10.1.0.2", from, to), "10.1.0.2");
  t.end();
});
