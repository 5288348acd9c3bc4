import { execFileSync } from "node:child_process";
import t from "tap";
import { Budget } from "../../linux/netlink/budget.js";
import { insideNewNamespace } from "../../linux/netns.js";
import { withNfnetlink } from "../../linux/netlink/nfnetlink.js";
import { Ruleset } from "../../linux/netlink/nftables/ruleset.js";
import { nft, skipWithoutNft as skip } from "../../linux/testing/nft.js";
import { foreignChains, refusesUnasked } from "./foreign-chains.js";

t.test("chains of others that refuse what is forwarded are found", { skip }, (t) => {
  insideNewNamespace(() => {
    nft(`
      table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; chain DOCKER-USER { }; };
      table ip6 filter { chain FORWARD { type filter hook forward priority 0; policy accept; }; };
      table inet theirs { chain f { type filter hook forward priority 5; policy drop; };
        chain i { type filter hook input priority 0; policy drop; }; };
      table inet pontoon { chain forward { type filter hook forward priority -10; policy drop; }; };
      table inet firewalld {
        chain filter_FORWARD { type filter hook forward priority 10; ct state established,related accept; jump zones; };
        chain zones { goto public; }; chain public { reject with icmpx admin-prohibited; };
      };
      table ip last { chain f { type filter hook forward priority 5; iifname "a" accept; counter log drop; }; };
      table ip6 sometimes {
        chain f { type filter hook forward priority 5; iifname "a" drop; iifname "b" jump d; jump loop; };
        chain d { drop; }; chain loop { iifname "c" jump d; }; };
      table bridge theirs { chain f { type filter hook forward priority 5; policy drop; }; };
    `);
    t.same(found(), ["ip filter FORWARD", "ip last f", "inet theirs f", "inet firewalld filter_FORWARD"]);
  });
  t.end();
});

t.test("… those of iptables, too", { skip }, (t) => {
  const cases: [rules: string[], isFound: boolean][] = [
    [["-A FORWARD -j REJECT --reject-with icmp-host-prohibited"], true],
    [["-A FORWARD -m comment --comment last -j DROP"], true],
    [["-N OTHERS", "-A FORWARD -j OTHERS", "-A OTHERS -i eth0 -j ACCEPT", "-A OTHERS -j REJECT"], true],
    [["-N OTHERS", "-A FORWARD -g OTHERS", "-A OTHERS -j DROP"], true],
    [["-A FORWARD -i eth0 -j DROP"], false],
    [["-A FORWARD -p tcp -j REJECT"], false],
    [["-A FORWARD -m mark --mark 1 -j DROP"], false],
    [["-N OTHERS", "-A OTHERS -j DROP"], false],
    [["-N OTHERS", "-A FORWARD -i eth0 -j OTHERS", "-A OTHERS -j DROP"], false],
    [["-A FORWARD -j ACCEPT"], false],
    [["-P FORWARD DROP"], true],
  ];
  for (const [rules, isFound] of cases)
    insideNewNamespace(() => {
      for (const rule of rules) execFileSync("iptables-nft", rule.split(" "));
      t.equal(found().length, isFound ? 1 : 0, rules.join("; "));
    });
  t.end();
});

function found(): string[] {
  return withNfnetlink((nfnetlink) => {
    const ruleset = new Ruleset(nfnetlink);
    const budget = new Budget("the test", { bytes: 1 << 20, objects: 1000, time: 10_000 });
    const chains = (["ip", "ip6", "inet"] as const).flatMap((family) => ruleset.chains(family, budget));
    return foreignChains(chains, "forward").filter((chain) => refusesUnasked(chain, ruleset, budget));
  }).map(({ family, table, chain }) => `${family} ${table} ${chain}`);
}
