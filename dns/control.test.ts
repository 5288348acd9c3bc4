import fc from "fast-check";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { openPidfd } from "../linux/pidfd.js";
import { receivePacket, sendPacket } from "../linux/packet-connection.js";
import {
  bindUnix,
  closeDescriptor,
  connectUnix,
  listenSocket,
  packetSocket,
  tcpSocket,
  udpSocket,
} from "../linux/socket.js";
import { openDescriptors, TestLoop } from "../linux/testing/loop.js";
import { Control } from "./control.js";
import { giveSandbox } from "./testing/served-sandbox.js";
import { DnsServer } from "./server.js";
import { PROTOCOL, type ToServer } from "./protocol.js";

const root = { skip: process.getuid!() === 0 ? false : "needs root" };
const closedGap: ToServer = { kind: "gap", gap: { everywhere: false, networks: [] } };

/** A server that tells what happens through its control. */
const servedBy = (loop: TestLoop, control: () => Control) =>
  new DnsServer(loop, {
    wantSockets: (sandbox, family, udp, tcp) => control().wantSockets(sandbox, family, udp, tcp),
    ended: (sandbox) => control().ended(sandbox),
    released: (sandbox) => control().released(sandbox),
    answering: (sandbox, answering) => control().answering(sandbox, answering),
  });

/** A server, and the daemon that the test plays. */
class Bench {
  readonly loop = new TestLoop();
  readonly server: DnsServer;
  readonly control: Control;
  readonly #folder = mkdtempSync(join(tmpdir(), "pontoon-test-"));
  readonly #listener = packetSocket();
  daemon = packetSocket();
  stopped = 0;

  constructor() {
    this.server = servedBy(this.loop, () => this.control);
    this.control = new Control(this.server, { version: "1", stop: () => this.stopped++ });
    bindUnix(this.#listener, join(this.#folder, "dns.sock"));
    listenSocket(this.#listener, 4);
    this.control.listen(this.#listener);
    this.connect();
  }

  connect(): void {
    connectUnix(this.daemon, join(this.#folder, "dns.sock"));
    this.say({ kind: "hello", protocol: PROTOCOL, version: "1" });
  }

  say(message: object, descriptors: number[] = []): void {
    sendPacket(this.daemon, Buffer.from(JSON.stringify(message)), descriptors);
    this.loop.poller.dispatch(0);
    this.loop.poller.dispatch(0);
    for (
      let packet = receivePacket(this.daemon);
      packet !== undefined && packet !== "closed";
      packet = receivePacket(this.daemon)
    )
      packet.descriptors.forEach(closeDescriptor);
  }

  /** Has the server serve a sandbox. */
  serve(id: string): void {
    giveSandbox(this.server, id);
    this.server.serveAll("docker");
  }

  get isGapOpen(): boolean {
    return this.server.resolver.gap.everywhere;
  }

  phaseOf(id: string): string | undefined {
    return this.server.sandboxes.get(id)?.phase;
  }

  turns(count: number): void {
    for (let turn = 0; turn < count; turn++) this.loop.pass(1000);
  }

  close(): void {
    for (const sandbox of [...this.server.sandboxes.values()]) this.server.drop(sandbox);
    [this.#listener, this.daemon].forEach(closeDescriptor);
    this.loop.poller.dispatch(0);
    this.loop.poller.close();
    rmSync(this.#folder, { recursive: true });
  }
}

t.test("a daemon that no longer says that it lives counts as gone, and is back when it says so", root, (t) => {
  const bench = new Bench();
  bench.say({ kind: "settings", settings: { orphanAfter: 60, queryLog: false, cacheSize: 0, patience: 2000 } });
  bench.say(closedGap);
  t.ok(bench.isGapOpen, "before its table is whole, it is behind Docker");
  bench.say({ kind: "synced", source: "docker" });
  bench.serve("c0ffee");
  bench.turns(3);
  t.notOk(bench.isGapOpen);
  bench.turns(1);
  t.ok(bench.isGapOpen, "also one that has hung since it said hello");
  for (let second = 0; second < 10; second++) {
    bench.say({ kind: "alive" });
    bench.turns(1);
  }
  t.notOk(bench.isGapOpen);
  bench.turns(3);
  t.ok(bench.isGapOpen, "after four turns Docker's resolver is asked for what is unknown");
  bench.say(closedGap);
  t.ok(bench.isGapOpen, "news that was on its way does not close the gap");
  bench.say({ kind: "gap", gap: { everywhere: true, networks: [] } });
  bench.say({ kind: "alive" });
  t.ok(bench.isGapOpen, "as long as the daemon says that its table is behind");
  bench.say(closedGap);
  t.notOk(bench.isGapOpen);

  bench.turns(30);
  bench.say({ kind: "alive" });
  bench.turns(35);
  t.equal(bench.phaseOf("c0ffee"), "serving", "one that came back has its whole time again");
  bench.turns(30);
  t.equal(bench.phaseOf("c0ffee"), "releasing", "one that hangs for long is given up");
  bench.say({ kind: "alive" });
  t.equal(bench.phaseOf("c0ffee"), "serving", "but taken back");
  bench.turns(3);
  t.equal(bench.stopped, 0);
  bench.turns(80);
  t.ok(bench.stopped > 0, "without it the server ends in the end");
  bench.close();
  t.end();
});

t.test("a server that was itself kept from running does not blame the daemon", root, (t) => {
  const bench = new Bench();
  bench.say(closedGap);
  bench.say({ kind: "synced", source: "docker" });
  bench.say({ kind: "alive" });
  for (let time = 0; time < 3; time++) {
    bench.loop.pass(30_000);
    t.notOk(bench.isGapOpen, "one turn is one turn");
  }
  bench.close();
  t.end();
});

const record = (id: string, source: "docker" | "pontoon") => ({
  kind: "sandbox",
  sandbox: {
    id,
    source,
    container: id,
    containerName: id,
    networks: [],
    forwarding: { kind: "never" },
    singleLabels: "deny",
    sharesAnswers: false,
    search: [],
  },
});
const networkOf = (id: string, source: "docker" | "pontoon") => ({
  kind: "network",
  network: { id, source, name: id, shared: false },
});

t.test("each source is told, and forgotten, by itself", root, (t) => {
  const bench = new Bench();
  const known = () => [...bench.server.sandboxes.keys(), ...bench.server.zones.networks.keys()];
  for (const source of ["docker", "pontoon"] as const) {
    bench.say(record(source, source));
    bench.say(networkOf(`n-${source}`, source));
    bench.say({ kind: "synced", source });
  }
  const all = ["docker", "pontoon", "n-docker", "n-pontoon"];
  t.same(known(), all);
  bench.say({ kind: "hello", protocol: PROTOCOL, version: "1" });
  bench.say(closedGap);
  bench.say(record("new", "pontoon"));
  bench.say({ kind: "synced", source: "pontoon" });
  t.same(known(), ["docker", "new", "n-docker"], "what is Docker's stays until all of that is told");
  t.ok(bench.isGapOpen);
  bench.say({ kind: "synced", source: "docker" });
  t.same(known(), ["new"]);
  t.notOk(bench.isGapOpen);
  bench.close();
  t.end();
});

t.test(
  "where nobody else would answer a server without a daemon goes on, until the namespace is gone",
  root,
  async (t) => {
    const bench = new Bench();
    const folder = mkdtempSync(join(tmpdir(), "pontoon-test-"));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const path = join(folder, "web");
    writeFileSync(path, "");
    giveSandbox(bench.server, "own", path);
    bench.server.serveAll("pontoon");
    bench.serve("c0ffee");
    bench.say({ kind: "alive" });
    bench.turns(65);
    t.equal(bench.phaseOf("c0ffee"), "releasing");
    t.equal(bench.phaseOf("own"), "serving");
    bench.turns(20);
    t.same([...bench.server.sandboxes.keys()], ["own"]);
    t.equal(bench.stopped, 0);
    rmSync(path);
    await bench.loop.until("it is let go of", () => bench.server.sandboxes.size === 0);
    t.equal(bench.stopped, 1, "with the last of them it ends");
    bench.close();
  },
);

t.test(
  "whatever a daemon says, nothing is thrown, no descriptor is left, and other sandboxes are served",
  root,
  (t) => {
    const kinds = [
      "settings",
      "network",
      "network-gone",
      "endpoint",
      "endpoint-gone",
      "sandbox",
      "sockets",
      "more-sockets",
      "release",
      "close",
      "gap",
      "synced",
      "alive",
      "explain",
      "report",
      "flush",
      "hello",
      "nonsense",
      "__proto__",
    ];
    const source = fc.constantFrom("docker", "pontoon", "odd");
    const id = fc.constantFrom("broken", "n1", "", "x".repeat(300));
    const number = fc.oneof(fc.integer({ min: -3, max: 300 }), fc.double(), fc.constantFrom(1e400, 65_536));
    const odd = fc.oneof(id, number, fc.constant(null), fc.jsonValue({ maxDepth: 2 }));
    const list = fc.oneof(fc.array(odd, { maxLength: 3 }), odd);
    const endpoint = fc.record(
      {
        network: id,
        source,
        container: id,
        names: list,
        ipv4: fc.constantFrom("10.0.0.1", "nonsense", "10.0.0.999", "::1"),
        ipv6: fc.constantFrom("fd00::1", "fe80::1%eth0", "nonsense"),
        ports: list,
        ttl: number,
      },
      { requiredKeys: [] },
    );
    const sandbox = fc.record(
      {
        id,
        source,
        container: id,
        containerName: id,
        networks: list,
        forwarding: fc.oneof(fc.constant({ kind: "never" }), odd),
        singleLabels: fc.constantFrom("deny", "odd"),
        search: list,
      },
      { requiredKeys: [] },
    );
    const message = fc.record(
      {
        kind: fc.constantFrom(...kinds),
        sandbox: fc.oneof(id, sandbox),
        endpoint,
        network: fc.oneof(id, fc.record({ id, name: id, shared: odd, source })),
        gap: odd,
        settings: odd,
        container: id,
        port: number,
        udp: number,
        tcp: number,
        query: odd,
        request: number,
        id,
        source,
        path: fc.constantFrom("/nowhere/x", "/proc/self/ns/net"),
        hasDockerResolver: fc.oneof(fc.boolean(), odd),
      },
      { requiredKeys: ["kind"] },
    );
    const holds = () =>
      fc.assert(
        fc.property(fc.array(fc.tuple(message, fc.nat(6)), { maxLength: 8 }), (said) => {
          const before = openDescriptors();
          const bench = new Bench();
          bench.serve("c0ffee");
          for (const [each, count] of said) {
            const sockets = Array.from({ length: count }, () => udpSocket());
            bench.say(each, sockets);
            sockets.forEach(closeDescriptor);
          }
          const isServed =
            bench.phaseOf("c0ffee") === "serving" ||
            said.some(([{ kind, source }]) => kind === "synced" && source === "docker"); // not mentioned, it is gone
          bench.close();
          return isServed && openDescriptors() === before;
        }),
        { seed: 11, numRuns: 400 },
      );
    t.doesNotThrow(holds);
    t.end();
  },
);

t.test("a sandbox that is taken over anew is served at its new sockets", root, (t) => {
  const bench = new Bench();
  bench.say({ kind: "settings", settings: { orphanAfter: 60, queryLog: false, cacheSize: 0, patience: 2000 } });
  bench.say({ kind: "synced", source: "docker" });
  bench.serve("c0ffee");
  const before = bench.server.sandboxes.get("c0ffee")!;
  const { sockets } = before;
  const given = [openPidfd(process.pid), udpSocket(), tcpSocket()];
  const message = { kind: "sockets", sandbox: "c0ffee", port: 4711, udp: 0, tcp: 0, hasDockerResolver: false };
  bench.say(message, given);
  const after = bench.server.sandboxes.get("c0ffee")!;
  t.not(after, before);
  t.match(after, { isServing: true, record: before.record, sockets: { port: 4711 } });
  t.not(after.sockets!.udp, sockets!.udp);
  t.equal(before.sockets, undefined, "those it had are closed");
  bench.say(message, [udpSocket()]);
  t.equal(bench.server.sandboxes.get("c0ffee"), after, "what is not whole changes nothing");
  given.forEach(closeDescriptor);
  bench.close();
  t.end();
});
