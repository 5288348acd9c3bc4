import t from "tap";
import { Budget } from "../../linux/netlink/budget.js";
import { insideNewNamespace } from "../../linux/netns.js";
import { withNfnetlink } from "../../linux/netlink/nfnetlink.js";
import { Ruleset } from "../../linux/netlink/nftables/ruleset.js";
import { nft, skipWithoutNft as skip } from "../../linux/testing/nft.js";
import { droppingForwardChains } from "./foreign-forward.js";

t.test("chains of others that drop what is forwarded are found", { skip }, (t) => {
  insideNewNamespace(() => {
    nft(`
      table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; chain DOCKER-USER { }; };
      table ip6 filter { chain FORWARD { type filter hook forward priority 0; policy accept; }; };
      table inet theirs { chain f { type filter hook forward priority 5; policy drop; };
        chain i { type filter hook input priority 0; policy drop; }; };
      table inet pontoon { chain forward { type filter hook forward priority -10; policy drop; }; };
      table bridge theirs { chain f { type filter hook forward priority 5; policy drop; }; };
    `);
    const found = withNfnetlink((nfnetlink) =>
      droppingForwardChains(
        new Ruleset(nfnetlink),
        new Budget("the test", { bytes: 1 << 20, objects: 1000, time: 10_000 }),
      ),
    );
    t.same(
      found.map(({ family, table, chain }) => `${family} ${table} ${chain}`),
      ["ip filter FORWARD", "inet theirs f"],
    );
  });
  t.end();
});
