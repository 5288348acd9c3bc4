import { spawn } from "node:child_process";
import { once } from "node:events";
import t from "tap";
import { Budget } from "../../linux/netlink/budget.js";
import { KeptNfnetlink } from "../../linux/netlink/nfnetlink.js";
import { insideNewNamespace, insideNamespace } from "../../linux/netns.js";
import { nft, skipWithoutNft as skip } from "../../linux/testing/nft.js";
import { ForeignAccept } from "./foreign-accept.js";

const make = (objects = 10_000) =>
  new ForeignAccept(new KeptNfnetlink(), () => new Budget("the test", { bytes: 64 << 20, objects, time: 10_000 }));
const count = () => (nft("list ruleset").match(/comment "pontoon"/g) ?? []).length;
const dropping = (table: string, more = "") =>
  `table ${table} { ${more} chain f { type filter hook forward priority 0; policy drop; }; };`;

t.test("one rule in each table that refuses, put back when it is gone, and taken away", { skip }, (t) => {
  insideNewNamespace(() => {
    nft(`${dropping("ip a", "chain DOCKER-USER { };")} ${dropping("inet b")}`);
    const foreign = make();
    const all = ["ip a DOCKER-USER", "inet b f"];
    t.same(foreign.put(), { all, added: all, refused: new Map() });
    for (let times = 0; times < 3; times++) t.same(foreign.put(), { all, added: [], refused: new Map() });
    t.same(make().put(), { all, added: [], refused: new Map() }, "another process finds them");
    t.equal(count(), 2);
    nft("flush chain ip a DOCKER-USER");
    t.same(foreign.put(), { all, added: ["ip a DOCKER-USER"], refused: new Map() });
    nft(`delete table inet b; ${dropping("inet b")}`);
    t.same(foreign.put(), { all, added: ["inet b f"], refused: new Map() });
    t.equal(count(), 2);
    foreign.remove();
    t.equal(count(), 0);
    t.same(foreign.put().added, all, "and anew");
    make().remove();
    t.equal(count(), 0, "by another process");
  });
  t.end();
});

t.test("what comes in to the host, where that is asked for", { skip }, (t) => {
  insideNewNamespace(() => {
    nft("table inet c { chain i { type filter hook input priority 0; policy drop; }; chain DOCKER-USER { }; }");
    const foreign = make();
    t.same(foreign.put().all, []);
    t.same(foreign.put({ withInput: true }).added, ["inet c i"]);
    t.same(foreign.put({ withInput: true }), { all: ["inet c i"], added: [], refused: new Map() });
    foreign.remove();
    t.equal(count(), 0);
  });
  t.end();
});

t.test("two chains of a table that share a place have one rule there", { skip }, (t) => {
  insideNewNamespace(() => {
    nft(`table ip a { chain DOCKER-USER { }; chain f { type filter hook forward priority 0; policy drop; };
      chain g { type filter hook forward priority 5; policy drop; }; }`);
    t.same(make().put().added, ["ip a DOCKER-USER"]);
    t.equal(count(), 1);
  });
  t.end();
});

t.test("more rules than are looked through cost nothing but the rule there", { skip }, (t) => {
  insideNewNamespace(() => {
    const many = Array.from({ length: 200 }, (_, number) => `ip saddr 10.0.0.${number} drop;`).join(" ");
    nft(`table ip a { chain f { type filter hook forward priority 0; policy accept; ${many} }; }`);
    const foreign = make(100);
    t.throws(() => foreign.put(), { code: "RULES_TOO_MANY" });
    nft("delete table ip a");
    nft(dropping("ip b"));
    t.same(foreign.put().added, ["ip b f"], "it goes on afterwards");
  });
  t.end();
});

t.test("a table that belongs to another process is told, and the others get their rule", { skip }, async (t) => {
  const owner = spawn("unshare", ["--net", "sh", "-c", `echo ready; exec nft -i`], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await once(owner.stdout, "data");
  const inside = <Result>(work: () => Result) => insideNamespace(`/proc/${owner.pid}/ns/net`, undefined, work);
  owner.stdin.write(
    "add table ip a { flags owner; }\nadd chain ip a f { type filter hook forward priority 0; policy drop; }\n",
  );
  const giveUpAt = performance.now() + 20_000;
  while (!inside(() => nft("list ruleset")).includes("policy drop"))
    if (performance.now() > giveUpAt) throw new Error("no table");
  inside(() => {
    nft(dropping("ip b"));
    t.same(make().put(), {
      all: ["ip b f"],
      added: ["ip b f"],
      refused: new Map([["ip a f", "the table belongs to another process"]]),
    });
  });
  const ended = once(owner, "close");
  owner.stdin.end();
  await ended;
  t.end();
});
