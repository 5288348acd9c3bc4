import fc from "fast-check";
import t from "tap";
import { Budget } from "../../../linux/netlink/budget.js";
import { findDnsRedirect } from "./dns-redirect.js";
import { legacyNat } from "./legacy-nat.js";

const budget = () => new Budget("test", { bytes: 1 << 20, objects: 4096, time: 1000 });
const asks = (entries: Buffer, output = 0) =>
  findDnsRedirect(
    legacyNat({ entries, hookEntries: [-1, -1, -1, output, -1] }),
    "127.0.0.11",
    ({ chain }) => chain === "DOCKER_OUTPUT",
    budget(),
  );

interface Given {
  readonly protocol?: number;
  readonly to?: readonly [address: number[], mask: number[]];
  readonly through?: string;
  readonly inverted?: number;
  readonly flags?: number;
  /** First and last port of a `udp` or `tcp` match. */
  readonly ports?: readonly [number, number];
  readonly target: string;
  /** Of a standard target, `""`: a verdict, or where to jump. */
  readonly verdict?: number;
}

function element(name: string, info: Buffer): Buffer {
  const bytes = Buffer.alloc(32 + ((info.length + 7) & ~7));
  bytes.writeUInt16LE(bytes.length);
  bytes.write(name, 2, "latin1");
  info.copy(bytes, 32);
  return bytes;
}

/** `struct ipt_entry`, as iptables-legacy makes them. */
function entry({ protocol = 0, to, through, inverted = 0, flags = 0, ports, target, verdict = -1 }: Given): Buffer {
  const head = Buffer.alloc(112);
  if (to) to.forEach((bytes, index) => Buffer.from(bytes).copy(head, 4 + 8 * index));
  if (through !== undefined) {
    head.write(through, 32, "latin1");
    head.fill(0xff, 64, 64 + through.length + 1);
  }
  head.writeUInt16LE(protocol, 80);
  head[82] = flags;
  head[83] = inverted;
  const match = Buffer.alloc(ports ? 16 : 0);
  if (ports) [0, 0xffff, ...ports].forEach((port, index) => match.writeUInt16LE(port, 2 * index));
  const matches = ports ? element(protocol === 6 ? "tcp" : "udp", match) : Buffer.alloc(0);
  const info = Buffer.alloc(32);
  if (target === "ERROR") info.write("own", "latin1");
  else info.writeInt32LE(verdict);
  const last = element(target, info);
  head.writeUInt16LE(112 + matches.length, 88);
  head.writeUInt16LE(112 + matches.length + last.length, 90);
  return Buffer.concat([head, matches, last]);
}

const accept = entry({ target: "", verdict: -2 });
const resolver = [127, 0, 0, 11];
const whole = [255, 255, 255, 255];

t.test("a rule of a legacy table is found by what it does to a question", (t) => {
  const udp = { protocol: 17, ports: [53, 53], target: "REDIRECT" } as const;
  const cases: [what: string, rule: Given, found: boolean][] = [
    ["redirects UDP", udp, true],
    ["redirects TCP", { ...udp, protocol: 6 }, true],
    ["translates", { ...udp, target: "DNAT" }, true],
    ["a range with it", { ...udp, ports: [1, 1000] }, true],
    ["another port", { ...udp, ports: [5353, 5353] }, false],
    ["another protocol", { ...udp, protocol: 1 }, false],
    ["any protocol but this", { ...udp, inverted: 0x40 }, true], // TCP's questions may be told apart by no match of UDP's
    ["to the resolver", { ...udp, to: [resolver, whole] }, true],
    [
      "to all but its network",
      {
        ...udp,
        to: [
          [127, 0, 0, 0],
          [255, 0, 0, 0],
        ],
        inverted: 0x10,
      },
      false,
    ],
    ["to somebody else", { ...udp, to: [[10, 0, 0, 1], whole] }, false],
    ["through the loopback", { ...udp, through: "lo" }, true],
    ["through another interface", { ...udp, through: "eth0" }, false],
    ["through all but the loopback", { ...udp, through: "lo", inverted: 0x02 }, false],
    ["everything, whatever the port", { target: "REDIRECT" }, false],
    ["another target", { ...udp, target: "LOG" }, false],
  ];
  for (const [what, rule, found] of cases)
    t.equal(asks(Buffer.concat([entry(rule), accept])) !== undefined, found, what);
  t.end();
});

t.test("jumps are followed, from the chain of the hook alone", (t) => {
  const head = entry({ target: "ERROR" });
  const redirect = entry({ protocol: 17, ports: [53, 53], target: "REDIRECT" });
  const jump = entry({ target: "", verdict: accept.length + accept.length + head.length });
  const table = (first: Buffer) => Buffer.concat([first, accept, head, redirect, accept]);
  t.match(asks(table(jump)), /REDIRECT/);
  t.equal(asks(table(accept)), undefined, "nobody jumps there");
  t.equal(asks(Buffer.concat([redirect, accept]), redirect.length), undefined, "another hook's");
  const docker = Buffer.from(head);
  docker.write("DOCKER_OUTPUT", 112 + 32, "latin1");
  t.equal(asks(Buffer.concat([jump, accept, docker, redirect, accept])), undefined, "Docker's own");
  t.end();
});

t.test("whatever a table is, it is read to its end", (t) => {
  const good = Buffer.concat([
    entry({ protocol: 17, ports: [53, 53], target: "REDIRECT" }),
    entry({ target: "ERROR" }),
    accept,
  ]);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 20 }),
      fc.nat(good.length),
      fc.integer({ min: -1, max: 1000 }),
      (changes, length, output) => {
        const spoilt = Buffer.from(good.subarray(0, length));
        for (const [at, byte] of changes) if (at < spoilt.length) spoilt[at] = byte;
        asks(spoilt, output);
        return true;
      },
    ),
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) => (asks(Buffer.from(bytes)), true)));
  t.end();
});
