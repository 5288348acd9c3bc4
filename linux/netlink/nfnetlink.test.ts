import { spawn } from "node:child_process";
import { once } from "node:events";
import t from "tap";
import { insideNamespace, insideNewNamespace } from "../netns.js";
import { skipWithoutNft, nft } from "../testing/nft.js";
import { openDescriptors } from "../testing/loop.js";
import { Budget } from "./budget.js";
import { NetlinkError, withNfnetlink } from "./nfnetlink.js";
import { Ruleset } from "./nftables/ruleset.js";
import { accept, counter, ip, masquerade, udp } from "./nftables/statements.js";
import { Transaction } from "./nftables/transaction.js";

const plenty = () => new Budget("the test", { bytes: 64 << 20, objects: 1_000_000, time: 30_000 });
const chain = { family: "ip", table: "t", chain: "c" } as const;
const withChain = () =>
  new Transaction().addTable(chain).addChain({ ...chain, at: { type: "filter", hook: "input", priority: 0 } });

t.test(
  "a transaction is applied whole or not at all, and says which request was refused",
  { skip: skipWithoutNft },
  (t) => {
    insideNewNamespace(() =>
      withNfnetlink((nfnetlink) => {
        const rules = new Ruleset(nfnetlink);
        t.throws(() => withChain().addRule(chain, [masquerade]).commit(nfnetlink), {
          code: /E(OPNOTSUPP|NOTSUP)/,
          message: /^add rule ip t c: /,
        });
        t.notOk(rules.hasTable(chain), "nothing of it is there");
        t.throws(() => withChain().deleteTable({ family: "ip", table: "other" }).commit(nfnetlink), {
          code: "ENOENT",
          message: "delete table ip other: ENOENT",
        });
        t.notOk(rules.hasTable(chain));
        withChain().commit(nfnetlink);
        t.ok(rules.hasTable(chain));
        t.throws(() => new Transaction().addTable(chain, { exclusive: true }).commit(nfnetlink), { code: "EEXIST" });
        new Transaction().commit(nfnetlink); // nothing to do
      }),
    );
    t.end();
  },
);

t.test(
  "a transaction that builds on what was read fails when the rules have changed since",
  { skip: skipWithoutNft },
  (t) => {
    insideNewNamespace(() =>
      withNfnetlink((nfnetlink) => {
        const before = new Ruleset(nfnetlink).generation;
        withChain().commit(nfnetlink, before);
        t.throws(() => withChain().addRule(chain, [accept]).commit(nfnetlink, before), {
          code: "ERESTART",
          message: /the rules have changed meanwhile/,
        });
        t.same(new Ruleset(nfnetlink).rules(chain, plenty()), []);
      }),
    );
    t.end();
  },
);

t.test("the kernel's own sentence is in the error", (t) => {
  const error = new NetlinkError(22, "add rule ip t c", "it says why");
  t.equal(error.message, "add rule ip t c: it says why (EINVAL)");
  t.equal(error.code, "EINVAL");
  t.end();
});

t.test("a list longer than one message comes whole, and once", { skip: skipWithoutNft }, (t) => {
  insideNewNamespace(() =>
    withNfnetlink((nfnetlink) => {
      const transaction = withChain();
      for (let port = 1; port <= 3000; port++) transaction.addRule(chain, [udp.dport.is(port), counter]);
      transaction.commit(nfnetlink);
      const found = new Ruleset(nfnetlink).rules(chain, plenty());
      t.equal(found.length, 3000);
      t.equal(new Set(found.map(({ handle }) => handle)).size, 3000);
      t.same(new Ruleset(nfnetlink).rules({ ...chain, chain: "none" }, plenty()), [], "of a chain that is not there");
    }),
  );
  t.end();
});

t.test("what is read is bounded, in bytes, objects and time", { skip: skipWithoutNft }, (t) => {
  insideNewNamespace(() => {
    withNfnetlink((nfnetlink) => {
      const transaction = withChain();
      for (let port = 1; port <= 3000; port++)
        transaction.addRule(chain, [udp.dport.is(port), ip.saddr.is("10.0.0.1"), accept]);
      transaction.commit(nfnetlink);
    });
    const descriptors = openDescriptors();
    for (const [what, limits] of [
      ["bytes", { bytes: 10_000, objects: 1e6, time: 30_000 }],
      ["objects", { bytes: 1e9, objects: 100, time: 30_000 }],
      ["time", { bytes: 1e9, objects: 1e6, time: -1 }],
    ] as const)
      t.throws(() => withNfnetlink((nfnetlink) => new Ruleset(nfnetlink).rules(chain, new Budget("it", limits))), {
        code: "RULES_TOO_MANY",
        message: `it has more firewall rules than are read (${what} used up)`,
      });
    t.equal(openDescriptors(), descriptors);
    t.equal(
      withNfnetlink((nfnetlink) => new Ruleset(nfnetlink).rules(chain, plenty())).length,
      3000,
      "a connection made afterwards is not troubled",
    );
  });
  t.end();
});

t.test("rules that others change without pause are given up on", { skip: skipWithoutNft }, async (t) => {
  // A process of its own, in a namespace of its own, changes the very chain that is listed as fast as it can.
  const program = `
    const from = (file) => new URL(file, ${JSON.stringify(import.meta.url)}).href;
    const { withNfnetlink } = await import(from("./nfnetlink.js"));
    const { Transaction } = await import(from("./nftables/transaction.js"));
    const { accept, udp } = await import(from("./nftables/statements.js"));
    const chain = ${JSON.stringify(chain)};
    withNfnetlink((nfnetlink) => {
      const transaction = new Transaction().addTable(chain).addChain(chain);
      for (let count = 0; count < 20_000; count++) transaction.addRule(chain, [udp.dport.is(count), accept]);
      transaction.commit(nfnetlink);
      process.stdout.write("ready\\n");
      for (;;) new Transaction().addRule(chain, [accept]).commit(nfnetlink);
    });`;
  const child = spawn("unshare", ["--net", process.execPath, "--input-type=module", "--eval", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.teardown(() => child.kill("SIGKILL"));
  await once(child.stdout, "data");
  const visit = (limits: ConstructorParameters<typeof Budget>[1]) =>
    insideNamespace(`/proc/${child.pid}/ns/net`, undefined, () =>
      withNfnetlink((nfnetlink) => new Ruleset(nfnetlink).rules(chain, new Budget("it", limits))),
    );
  t.throws(() => visit({ bytes: 1e9, objects: 1e8, time: 60_000 }), {
    code: "RULES_CHANGING",
    message: /changed each time it was read/,
  });
  t.throws(() => visit({ bytes: 2 << 20, objects: 8192, time: 25 }), { code: "RULES_TOO_MANY" });
});

t.test("rules of a newer nft are read", { skip: skipWithoutNft }, (t) => {
  insideNewNamespace(() => {
    nft(
      'table ip t { map m { type ifname : verdict; flags interval; comment "x"; }; chain c { udp dport 53 accept comment "dns"; }; }',
    );
    withNfnetlink((nfnetlink) => {
      const rules = new Ruleset(nfnetlink);
      t.match(rules.rules(chain, plenty()), { length: 1, 0: { comment: "dns" } });
      t.match(rules.set({ family: "ip", table: "t", set: "m" }), { comment: "x", keyLength: 16 });
    });
  });
  t.end();
});
