import t from "tap";
import { parseConfig } from "./config.js";
import { networkDefaults } from "./controller-options.js";

const of = (lines: string) => networkDefaults(parseConfig(`network: {${lines}}`, "pontoon.yaml"));

t.test("bip and fixed-cidr mean what they mean to dockerd", (t) => {
  const cases: [lines: string, subnet: unknown, gateway: unknown, ipRange: unknown][] = [
    ["", undefined, undefined, undefined],
    ["bip: 10.1.2.3/16", "10.1.0.0/16", "10.1.2.3", undefined],
    ["bip: 10.1.0.1/16, fixed-cidr: 10.1.7.0/24", "10.1.0.0/16", "10.1.0.1", "10.1.7.0/24"],
    ["fixed-cidr: 10.1.7.0/24", "10.1.7.0/24", undefined, undefined],
    ["bridge: br0, fixed-cidr: 10.1.7.0/24", undefined, undefined, "10.1.7.0/24"],
  ];
  for (const [lines, subnet, gateway, ipRange] of cases) {
    const defaults = of(lines);
    t.same([defaults.subnet, defaults.gateway, defaults.ipRange], [subnet, gateway, ipRange], lines);
  }
  t.end();
});

t.test("pools of one family leave the other its own", (t) => {
  const basesOf = (lines: string) => {
    const { ipv4, ipv6 } = of(lines).pools;
    return [ipv4, ipv6].map((pools) => pools.map(({ base, size }) => `${base.text} ${size}`).slice(0, 1));
  };
  const usual = "172.17.0.0/16 16";
  t.same(basesOf(""), [[usual], []]);
  t.same(basesOf("default-address-pools: [{base: 10.0.0.0/8, size: 24}]"), [["10.0.0.0/8 24"], []]);
  t.same(basesOf("default-address-pools: [{base: 'fd01::/32', size: 64}]"), [[usual], ["fd01::/32 64"]]);
  t.end();
});
