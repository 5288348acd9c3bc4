// Runs in the network namespace of a container, which has CAP_NET_ADMIN, and makes its firewall rules hard to look at or to change.
// Its argument says how. Tells its process id when that is so, and goes on until it is killed.
import type { AttributeWriter } from "../../linux/netlink/attributes.js";
import { Nfnetlink } from "../../linux/netlink/nfnetlink.js";
import { mark, service } from "../../linux/netlink/nftables/data-types.js";
import { accept, udp } from "../../linux/netlink/nftables/statements.js";
import { Transaction, type ChainName } from "../../linux/netlink/nftables/transaction.js";

export type Hardship =
  /** A map of verdicts as nft 1.1 writes it, which ends programs that read it with libnftables 1.0.6. */
  | "newer map"
  /** 20,000 rules where questions pass, one more without pause. */
  | "churn"
  | "many rules"
  /** Comments of elements that look like a redirection. */
  | "comments"
  /** The table of a takeover replaced, again and again, by one of that name with 300,000 elements. */
  | "replaced"
  /** Changes that keep the rules locked for seconds each. */
  | "locked";

const chain: ChainName = { family: "ip", table: "hard", chain: "out" };
const nfnetlink = new Nfnetlink();
const output = () =>
  new Transaction().addTable(chain).addChain({ ...chain, at: { type: "nat", hook: "output", priority: -100 } });
const apply = (transaction: Transaction) => transaction.commit(nfnetlink);

const hardships: Record<Hardship, () => void> = {
  "newer map": () => {
    apply(new Transaction().addTable(chain));
    // What nft 1.1.3 makes of `add map ip t m { type ifname : verdict; }`.
    const userData = Buffer.from("0004010000000104000000000308000404000000010004080004040000000100060400000000", "hex");
    nfnetlink.transact(10, [
      {
        type: (10 << 8) | 9,
        flags: 0x400,
        family: 2,
        subject: "add map",
        write: (writer: AttributeWriter) => {
          writer.text(1, chain.table);
          writer.text(2, "m");
          for (const [type, value] of [
            [3, 8],
            [4, 41],
            [5, 16],
            [6, 0xffffff00],
            [7, 16],
            [10, 1],
          ] as const)
            writer.u32(type, value);
          writer.raw(13, userData);
        },
      },
    ]);
    say();
  },
  "many rules": () => {
    addMany();
    say();
  },
  churn: () => {
    addMany();
    say();
    for (;;) apply(new Transaction().addRule(chain, [accept]));
  },
  comments: () => {
    const set = { ...chain, set: "s" };
    const elements = Array.from({ length: 3000 }, (_, number) => ({
      key: mark.encode(number),
      comment: "dport {".repeat(30),
    }));
    apply(
      output()
        .addSet({ ...set, key: [mark] })
        .addElements(set, elements)
        .addRule(chain, [accept], "udp dport 53 redirect to :1"),
    );
    say();
  },
  replaced: () => {
    const ours = { family: "ip", table: "pontoon", chain: "out" } as const;
    const set = { ...ours, set: "armed" };
    const elements = Array.from({ length: 300_000 }, (_, number) => ({ key: mark.encode(number) }));
    for (;;) {
      apply(
        new Transaction()
          .addTable(ours)
          .deleteTable(ours)
          .addTable(ours)
          .addSet({ ...set, key: [mark] })
          .addChain(ours)
          .addRule(ours, [accept], "udp dport set 5353")
          .addElements(set, elements),
      );
      say();
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000); // the kernel does each in one go, and nothing else on that processor
    }
  },
  locked: () => {
    // Keys of two bytes lie in a list that each new one is compared with.
    const set = { ...chain, set: "s" };
    const elements = Array.from({ length: 36_000 }, (_, number) => ({ key: service.encode(number) }));
    say();
    for (;;)
      apply(
        new Transaction()
          .addTable(chain)
          .addSet({ ...set, key: [service] })
          .addElements(set, elements)
          .deleteTable(chain),
      );
  },
};

/** In transactions of a size that an ordinary user may send. */
function addMany(): void {
  apply(output());
  for (let part = 0; part < 200; part++) {
    const transaction = new Transaction();
    for (let count = 0; count < 100; count++) transaction.addRule(chain, [udp.dport.is(count), accept]);
    apply(transaction);
  }
}

let said = false;
function say(): void {
  if (!said) process.stdout.write(`${process.pid}\n`);
  said = true;
}

hardships[process.argv[2] as Hardship]();
setInterval(() => undefined, 1 << 30); // until it is killed
