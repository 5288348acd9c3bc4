import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { pino } from "pino";
import t, { type Test } from "tap";
import { takeoverOf } from "./adopted.js";
import { insideNamespace } from "../../../linux/netns.js";
import { openingAll } from "../../../linux/opening.js";
import { openPidfd } from "../../../linux/pidfd.js";
import {
  bindSocket,
  closeDescriptor,
  listenSocket,
  localAddress,
  tcpSocket,
  udpSocket,
} from "../../../linux/socket.js";
import { openDescriptors, TestLoop } from "../../../linux/testing/loop.js";
import { Takeovers } from "./takeovers.js";

const root = { skip: process.getuid!() === 0 ? false : "needs root" };

/** A process in a network namespace of its own. */
async function processElsewhere(t: Test): Promise<number> {
  const child = spawn("unshare", ["--net", "sh", "-c", "ip link set lo up; echo ready; exec sleep 1000"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  t.teardown(() => child.kill("SIGKILL"));
  await new Promise((resolve) => child.stdout.once("data", resolve));
  return child.pid!;
}

interface Sockets {
  readonly port: number;
  readonly udp: number;
  readonly tcp: number;
}

function sockets(ip = "127.0.0.11"): Sockets {
  const [udp, tcp] = [udpSocket(), tcpSocket()];
  bindSocket(udp, { ip, port: 0 });
  const { port } = localAddress(udp);
  bindSocket(tcp, { ip, port });
  listenSocket(tcp, 1);
  return { port, udp, tcp };
}

const inside = <Result>(pid: number, work: () => Result) => insideNamespace(`/proc/${pid}/ns/net`, undefined, work);

t.test("what a server hands back is believed only if it is a takeover of that very namespace", root, async (t) => {
  const [pid, other] = [await processElsewhere(t), await processElsewhere(t)];
  const pidfd = openPidfd(pid);
  const right = inside(pid, sockets);
  const elsewhere = inside(other, () => sockets());
  const wrongAddress = inside(pid, () => sockets("127.0.0.12"));
  const here = sockets();
  const own = openPidfd(process.pid);
  t.match(takeoverOf({ port: right.port }, [pidfd, right.udp, right.tcp]), {
    place: { kind: "process", pid },
    port: right.port,
    inode: statSync(`/proc/${pid}/ns/net`).ino,
  });
  for (const [what, port, descriptors] of [
    ["no pidfd", right.port, [right.udp, right.udp, right.tcp]],
    ["a pidfd of this process", right.port, [own, right.udp, right.tcp]],
    ["our own process and sockets", here.port, [own, here.udp, here.tcp]],
    ["sockets of this namespace", here.port, [pidfd, here.udp, here.tcp]],
    ["sockets of another namespace", elsewhere.port, [pidfd, elsewhere.udp, elsewhere.tcp]],
    ["sockets at another address", wrongAddress.port, [pidfd, wrongAddress.udp, wrongAddress.tcp]],
    ["another port", right.port + 1, [pidfd, right.udp, right.tcp]],
    ["one for the other", right.port, [pidfd, right.tcp, right.udp]],
    ["UDP twice", right.port, [pidfd, right.udp, right.udp]],
    ["a file", right.port, [pidfd, right.udp, pidfd]],
    ["one too few", right.port, [pidfd, right.udp]],
    ["one too many", right.port, [pidfd, right.udp, right.tcp, here.udp]],
  ] as const)
    t.equal(takeoverOf({ port }, descriptors), undefined, what);
  for (const { udp, tcp } of [right, elsewhere, wrongAddress, here]) [udp, tcp].forEach(closeDescriptor);
  [pidfd, own].forEach(closeDescriptor);
});

t.test("a server that asks for more sockets than any of ours is told on, and nothing is left open", root, async (t) => {
  const pid = await processElsewhere(t);
  const { port, udp, tcp } = inside(pid, sockets);
  const misuse: string[] = [];
  const given: number[] = [];
  const takeovers = new Takeovers(
    new TestLoop().poller,
    pino({ level: "silent" }),
    () => undefined,
    (what) => misuse.push(what),
  );
  takeovers.adopt(
    [{ kind: "held", sandbox: "c0ffee", port, descriptors: [openPidfd(pid), udp, tcp], inherited: false }],
    () => ({ hasDockerResolver: true }),
  );
  t.ok(takeovers.has("c0ffee"));
  takeovers.connect((_, descriptors = []) => given.push(descriptors.length), new Set(["c0ffee"]));
  const before = openDescriptors();
  const want = (sandbox: string, udp: number, tcp: number) =>
    takeovers.onMessage({ kind: "want-sockets", sandbox, udp, tcp });
  for (const count of [64, 64, 64, 64]) want("c0ffee", count, 0);
  t.same([given, misuse], [[64, 64, 64, 64], []]);
  want("unknown", 64, 0);
  t.same(misuse, [], "a sandbox may have just ended");
  want("c0ffee", 1, 0);
  want("c0ffee", 0, 0);
  t.equal(misuse.length, 2);
  t.equal(given.length, 4);
  t.equal(openDescriptors(), before);
  takeovers.disconnect();
  takeovers.connect(
    () => {
      throw new RangeError("it cannot be sent");
    },
    new Set(["c0ffee"]),
  );
  want("c0ffee", 64, 0);
  t.equal(openDescriptors(), before, "what cannot be sent is closed");
  takeovers.abandonAll();
});

const nft = (pid: number, rules: string) => void execFileSync("nsenter", [`--net=/proc/${pid}/ns/net`, "nft", rules]);

/** How many are open once what earlier tests close in threads is closed. */
async function settledDescriptors(): Promise<number> {
  let count = openDescriptors();
  for (let same = 0; same < 20;) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    const now = openDescriptors();
    same = now === count ? same + 1 : 0;
    count = now;
  }
  return count;
}

t.test(
  "who comes to redirect its own questions is found out, however its rules change, and only then",
  root,
  async (t) => {
    const loop = new TestLoop();
    const pid = await processElsewhere(t);
    const { port, udp, tcp } = inside(pid, sockets);
    const told: string[] = [];
    const before = await settledDescriptors();
    const takeovers = new Takeovers(
      loop.poller,
      pino({ level: "silent" }),
      () => undefined,
      () => undefined,
      (sandbox, error) => told.push(`${sandbox} ${(error as { code: string }).code}`),
    );
    takeovers.adopt(
      [{ kind: "held", sandbox: "c0ffee", port, descriptors: [openPidfd(pid), udp, tcp], inherited: false }],
      () => ({ hasDockerResolver: true }),
    );
    const until = async (holds: () => boolean) => {
      for (
        const giveUpAt = performance.now() + 20_000;
        !holds() && performance.now() < giveUpAt;
        await new Promise((resolve) => setTimeout(resolve, 5))
      )
        loop.poller.dispatch(0);
    };
    nft(
      pid,
      "add table ip other; add chain ip other out { type nat hook output priority -100; }; add rule ip other out udp dport 54 redirect to :5353",
    );
    nft(
      pid,
      "add table ip6 own; add chain ip6 own out { type nat hook output priority -100; }; add rule ip6 own out udp dport 53 redirect to :5353",
    );
    await until(() => openDescriptors() > before + 1);
    t.same(told, [], "other ports, and other families, are no matter");
    nft(pid, "add rule ip other out tcp dport 53 redirect to :5353");
    await until(() => told.length > 0);
    t.same(told, ["c0ffee FOREIGN_DNS_RULES"]);
    await takeovers.giveBack("c0ffee", Object.assign(new Error("its own rules"), { code: "FOREIGN_DNS_RULES" }));
    t.notOk(takeovers.has("c0ffee"));
    const { againAt, notBefore } = takeovers.failures.get("c0ffee")!;
    t.ok(againAt <= performance.now() + 1000 && notBefore === againAt, "soon");
    await takeovers.letGo("c0ffee");
    t.equal(takeovers.failures.size, 0);
    await until(() => openDescriptors() === before - 2);
    t.equal(openDescriptors(), before - 2, "nothing of it is left open");
  },
);

t.test("a namespace that ends is let go of at once, news of its rules included", root, async (t) => {
  const loop = new TestLoop();
  const pid = await processElsewhere(t);
  const { port, udp, tcp } = inside(pid, sockets);
  const ended: string[] = [];
  const before = openDescriptors();
  const takeovers = new Takeovers(
    loop.poller,
    pino({ level: "silent" }),
    (sandbox) => ended.push(sandbox),
    () => undefined,
  );
  takeovers.adopt(
    [{ kind: "held", sandbox: "c0ffee", port, descriptors: [openPidfd(pid), udp, tcp], inherited: false }],
    () => ({ hasDockerResolver: true }),
  );
  const until = async (holds: () => boolean) => {
    for (
      const giveUpAt = performance.now() + 20_000;
      !holds() && performance.now() < giveUpAt;
      await new Promise((resolve) => setTimeout(resolve, 5))
    )
      loop.poller.dispatch(0);
  };
  await until(() => openDescriptors() >= before + 3);
  process.kill(pid, "SIGKILL");
  // The pipe of the process that has ended goes as well, and so may that of an earlier test's.
  await until(() => ended.length > 0 && openDescriptors() <= before - 3);
  t.ok(openDescriptors() <= before - 3, `${openDescriptors()} descriptors of ${before}`);
  t.same(ended, ["c0ffee"]);
});

t.test(
  "rules that nobody tells of: legacy iptables', looked for while a namespace is there, and no harm done when it is not",
  root,
  async (t) => {
    if (spawnSync("iptables-legacy", ["--version"]).status !== 0)
      return t.pass("not tried", { skip: "no iptables-legacy here" });
    const loop = new TestLoop();
    const [pid, gone] = [await processElsewhere(t), await processElsewhere(t)];
    const told: string[] = [];
    const takeovers = new Takeovers(
      loop.poller,
      pino({ level: "silent" }),
      () => undefined,
      () => undefined,
      (sandbox, error) => told.push(`${sandbox} ${(error as { code: string }).code}`),
    );
    for (const [sandbox, process] of [
      ["gone", gone],
      ["c0ffee", pid],
    ] as const) {
      const { port, udp, tcp } = inside(process, sockets);
      takeovers.adopt(
        [{ kind: "held", sandbox, port, descriptors: [openPidfd(process), udp, tcp], inherited: false }],
        () => ({ hasDockerResolver: true }),
      );
    }
    await takeovers.lookForSilentChanges();
    const redirect = [
      "-t",
      "nat",
      "-A",
      "OUTPUT",
      "-p",
      "udp",
      "--dport",
      "53",
      "-j",
      "REDIRECT",
      "--to-ports",
      "5353",
    ];
    execFileSync("nsenter", [`--target=${pid}`, "--net", "iptables-legacy", ...redirect]);
    process.kill(gone, "SIGKILL");
    // It is gone, and this loop has not heard of it.
    while (existsSync(`/proc/${gone}/ns/net`)) await new Promise((resolve) => setTimeout(resolve, 5));
    for (
      const giveUpAt = performance.now() + 20_000;
      told.length === 0 && performance.now() < giveUpAt;
      await new Promise((resolve) => setTimeout(resolve, 50))
    ) {
      await takeovers.lookForSilentChanges();
      if (performance.now() > giveUpAt - 19_000) loop.poller.dispatch(0);
    }
    t.same(told, ["c0ffee FOREIGN_DNS_RULES"]);
  },
);

t.test("of several descriptors none stays open when one cannot be opened", (t) => {
  const before = openDescriptors();
  const failing = (open: (make: () => number) => number) => {
    open(udpSocket);
    open(tcpSocket);
    return open(() => {
      throw new Error("no more");
    });
  };
  t.throws(() => openingAll(failing), /no more/);
  t.equal(openDescriptors(), before);
  t.end();
});
