import t, { type Test } from "tap";
import { ECONNRESET } from "../../linux/constants.js";
import { receivePacket, sendPacket } from "../../linux/packet-connection.js";
import { closeDescriptor, packetPair } from "../../linux/socket.js";
import { takeDescriptors } from "../../linux/testing/descriptors.js";
import { openDescriptors, TestLoop } from "../../linux/testing/loop.js";
import { TimerWheel } from "../../linux/timer-wheel.js";
import { BulkWorkers } from "./bulk-workers.js";
import { PROTOCOL, type ToWorker } from "./bulk-protocol.js";
import { peek, sendAny } from "../../linux/stream.js";
import { connected, type Peer } from "../testing/peer.js";
import { TestProxy, until } from "../testing/proxy.js";

const ready = { kind: "ready", protocol: PROTOCOL };
const progress = { kind: "progress", publication: 1, ended: 0, bytesToContainer: 5, bytesToClients: 7 };
const minute = 60_000;
const block = Buffer.alloc(1 << 20, ".");

for (const [what, message] of [
  ["ends connections it was not given", { ...progress, ended: 1 }],
  ["ends less than none", { ...progress, ended: -5 }],
  ["counts what is not a number", { ...progress, bytesToClients: null }],
  ["counts backwards", { ...progress, bytesToContainer: -1 }],
  ["speaks another version of the protocol", { ...ready, protocol: PROTOCOL + 1 }],
  ["says something else", { kind: "take" }],
  ["says nothing at all", null],
] as const)
  t.test(`a bulk worker that ${what} is given nothing more`, async (t) => {
    const before = openDescriptors();
    const loop = new TestLoop();
    const [ours, theirs] = packetPair();
    const workers = new BulkWorkers(loop.poller, new TimerWheel(), {
      wanted: 1,
      canStart: () => true,
      start: () => t.fail("none is wanted"),
    });
    const share = workers.begin(1000, () => t.fail("no connection has ended"));
    workers.add(ours);
    say(theirs, ready);
    say(theirs, progress);
    await loop.until("progress is heard", () => share.counters.bytesToClients === 7);
    t.equal(workers.size, 1);
    sendPacket(theirs, Buffer.from(JSON.stringify(message)), [theirs]);
    await loop.until("it is let go", () => workers.size === 0);
    t.same([share.size, share.counters], [0, { bytesToContainer: 5, bytesToClients: 7 }]);
    closeDescriptor(theirs);
    loop.poller.close();
    t.equal(openDescriptors(), before, "what came along is closed");
  });

t.test("bulk goes on where it is until workers are ready, of which one set is started for all", async (t) => {
  const { workers, asked, bulk } = start(t, { wanted: 2 });
  t.equal(asked.length, 0, "none is started before there is bulk");
  const moving = [await bulk(), await bulk(), await bulk()];
  t.same(asked, [2]);
  const [ours, theirs] = packetPair();
  workers.add(ours);
  for (const each of moving) await moves(each, 5 << 20);
  t.same(heard(theirs), [], "one that is not ready is given nothing");
  say(theirs, ready);
  let given = 0;
  await until("it is given all", () => {
    moving.forEach(move);
    given += heard(theirs).length;
    return given === 3;
  });
  t.same(asked, [2]);
  closeDescriptor(theirs);
});

t.test("where no worker comes bulk is spliced, and none is asked for again at once", async (t) => {
  const { workers, asked, bulk, pass, isSpliced } = start(t, { wanted: 1 });
  const first = await bulk();
  const [ours, theirs] = packetPair();
  workers.add(ours);
  t.notOk(await isSpliced(first), "a worker is waited for: what is in a pipe could not be handed over");
  closeDescriptor(theirs);
  t.ok(await isSpliced(first));
  await bulk();
  t.same(asked, [1]);
  pass(10_000);
  const second = await bulk();
  t.same(asked, [1, 1]);
  t.notOk(await isSpliced(second));
  pass(6000);
  t.ok(await isSpliced(second), "nor is one that does not come waited for");
});

t.test("nobody is waited for where nobody can start one", async (t) => {
  const { asked, bulk, isSpliced } = start(t, { wanted: 1, canStart: () => false });
  t.ok(await isSpliced(await bulk()));
  t.same(asked, []);
});

t.test("workers are ended after a minute without bulk, if others could be started", async (t) => {
  let canStart = false;
  const { proxy, workers, asked, connection, bulk, pass } = start(t, { wanted: 1, canStart: () => canStart });
  const [ours, theirs] = packetPair();
  workers.add(ours);
  say(theirs, ready);
  await until("it is ready", () => workers.size === 1);
  pass(10 * minute);
  t.equal(workers.size, 1, "nobody would start another");
  canStart = true;
  const one = await connection();
  await until("it is given the connection", () => (move(one), heard(theirs).length === 1));
  pass(10 * minute);
  t.equal(workers.size, 1, "it has a connection");
  say(theirs, { kind: "progress", publication: 1, ended: 1, bytesToContainer: 0, bytesToClients: 0 });
  await until("it is over", () => proxy.report().connections === 0);
  pass(minute - 1000);
  t.equal(workers.size, 1);
  pass(2000);
  t.equal(workers.size, 0);
  await until("its channel is closed", () => receivePacket(theirs) === "closed");
  t.same(asked, []);
  await bulk();
  t.same(asked, [1], "the next bulk has another started");
  closeDescriptor(theirs);
});

t.test("a worker that does not get ready is let go after a minute, so that another can be started", async (t) => {
  const { workers, asked, bulk, pass } = start(t, { wanted: 1 });
  const [ours, theirs] = packetPair();
  workers.add(ours);
  pass(minute - 1000);
  await bulk();
  t.same(asked, [], "it may still get ready");
  pass(2000);
  t.equal(receivePacket(theirs), "closed");
  await bulk();
  t.same(asked, [1]);
  closeDescriptor(theirs);
});

t.test("a connection goes on when the worker it is about to be given to has just died", async (t) => {
  const [ours, theirs] = packetPair();
  let lives = true;
  const die = () => {
    if (lives) closeDescriptor(theirs);
    lives = false;
    return true;
  };
  // That is asked for the second worker right before the first is given the connection.
  const { proxy, workers, asked, bulk } = start(t, { wanted: 2, canStart: die });
  workers.add(ours);
  say(theirs, ready);
  await until("it is ready", () => workers.size === 1);
  const one = await bulk();
  t.same([lives, workers.size, asked], [false, 0, [1]]);
  await moves(one, 5 << 20);
  t.equal(proxy.report().connections, 1);
});

t.test("a connection goes on when no descriptor is left to give it away with", async (t) => {
  const { workers, begin, connection } = start(t, { wanted: 1 });
  const [ours, theirs] = packetPair();
  workers.add(ours);
  say(theirs, ready);
  await until("it is ready", () => workers.size === 1);
  const one = await connection();
  await moves(one, 3 << 20);
  // Until the next message has to wait for the worker.
  for (let count = messagesThatFit({ kind: "end", publication: 1 }); count >= 0; count--) begin().end();
  const giveBack = takeDescriptors();
  try {
    await moves(one, 5 << 20);
  } finally {
    giveBack();
  }
  t.ok(heard(theirs).every(({ kind }) => kind === "end"));
  closeDescriptor(theirs);
});

t.test("what a worker has not taken yet is reset when it dies", async (t) => {
  const { workers, connection } = start(t, { wanted: 1 });
  const [ours, theirs] = packetPair();
  workers.add(ours);
  say(theirs, ready);
  const one = await connection();
  await until("it is given the connection", () => (move(one), peek(theirs) > 0));
  closeDescriptor(theirs);
  await until("it is over", () => (one.client.read(), one.client.isOver));
  t.same([one.client.ended, one.client.error], [false, ECONNRESET], "what was cut off does not look complete");
});

t.test("a connection one of whose ends is lost is not given away", async (t) => {
  const { workers, connection } = start(t, { wanted: 1 });
  const [ours, theirs] = packetPair();
  workers.add(ours);
  say(theirs, ready);
  await until("it is ready", () => workers.size === 1);
  const { client, service } = await connection();
  await client.send(Buffer.alloc((4 << 20) - 100_000), () => service.read());
  await until("it is through", () => (service.read(), service.length === (4 << 20) - 100_000));
  sendAny(service.fd, Buffer.from("x")); // what tells the proxy, before it has read all
  sendAny(client.fd, Buffer.alloc(200_000));
  client.reset();
  await until("it is over, or elsewhere", () => (service.read(), service.isOver || peek(theirs) > 0));
  t.same([heard(theirs), service.ended, service.error], [[], false, ECONNRESET]);
  closeDescriptor(theirs);
});

t.test("a worker more than is wanted ends", (t) => {
  const { workers } = start(t, { wanted: 1 });
  const pairs = [packetPair(), packetPair()] as const;
  for (const [ours] of pairs) workers.add(ours);
  t.equal(receivePacket(pairs[0][1]), undefined, "the first has its channel");
  t.equal(receivePacket(pairs[1][1]), "closed");
  for (const [, theirs] of pairs) closeDescriptor(theirs);
  t.end();
});

/** A connection that the service sends to without end, and the client reads from. */
interface Moving {
  readonly client: Peer;
  readonly service: Peer;
}

/** A proxy in this process whose workers are what the test says, and whose clock for them goes on as the test says. */
function start(t: Test, { wanted, canStart = () => true }: { wanted: number; canStart?: () => boolean }) {
  let now = 0;
  const timers = new TimerWheel(() => now);
  const asked: number[] = [];
  let workers: BulkWorkers | undefined;
  const proxy = new TestProxy(t, {
    bulk: ({ poller }) =>
      (workers = new BulkWorkers(poller, timers, { wanted, canStart, start: (count) => asked.push(count) })),
  });
  let published = 0;
  const connections: Moving[] = [];
  const connection = async (): Promise<Moving> => {
    const id = published++ === 0 ? "web" : `web ${published}`;
    const [client, service] = await connected(t, (target) => proxy.open(target, {}, { id }));
    const made = { client, service };
    connections.push(made);
    return made;
  };
  return {
    proxy,
    workers: workers!,
    asked,
    /** Another publication. */
    begin: () => workers!.begin(1000, () => undefined),
    /** Some time goes by. */
    pass: (ms: number) => {
      for (const end = now + ms; now < end; timers.turn(now)) now = Math.min(end, now + 1000);
    },
    connection,
    /** A connection that has moved enough to be bulk. */
    bulk: async (): Promise<Moving> => {
      const moving = await connection();
      await moves(moving, 5 << 20);
      return moving;
    },
    /** Whether a connection is passed on through a pipe: one is in use when the client takes nothing more. */
    isSpliced: async (moving: Moving): Promise<boolean> => {
      await moves(moving, 5 << 20);
      const drained = () => (connections.forEach(({ client }) => client.read()), proxy.pipes.lent === 0);
      await until("all is through", drained);
      await moving.service.fill();
      const isSpliced = proxy.pipes.lent > 0;
      await until("the client has it all", drained);
      return isSpliced;
    },
  };
}

function move({ client, service }: Moving): void {
  sendAny(service.fd, block);
  client.read();
}

async function moves(moving: Moving, bytes: number): Promise<void> {
  const then = moving.client.length;
  await until("it moves", () => (move(moving), moving.client.length > then + bytes));
}

function say(fd: number, message: unknown): void {
  sendPacket(fd, Buffer.from(JSON.stringify(message)));
}

/** How many of them a worker may leave unread before one has to wait. */
function messagesThatFit(message: ToWorker): number {
  const pair = packetPair();
  let count = 0;
  while (sendPacket(pair[0], Buffer.from(JSON.stringify(message)))) count++;
  pair.forEach(closeDescriptor);
  return count;
}

/** What a worker has been told since the last call; the connections it was given are closed. */
function heard(fd: number): ToWorker[] {
  const messages: ToWorker[] = [];
  for (;;) {
    const packet = receivePacket(fd);
    if (packet === undefined || packet === "closed") return messages;
    packet.descriptors.forEach(closeDescriptor);
    messages.push(JSON.parse(packet.bytes.toString()) as ToWorker);
  }
}
