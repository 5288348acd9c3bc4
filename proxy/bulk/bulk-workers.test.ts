import t from "tap";
import { sendPacket } from "../../linux/packet-connection.js";
import { closeDescriptor, packetPair } from "../../linux/socket.js";
import { openDescriptors, TestLoop } from "../../linux/testing/loop.js";
import { BulkWorkers } from "./bulk-workers.js";

const progress = { kind: "progress", publication: 1, ended: 0, bytesToContainer: 5, bytesToClients: 7 };

for (const [what, message] of [
  ["ends connections it was not given", { ...progress, ended: 1 }],
  ["ends less than none", { ...progress, ended: -5 }],
  ["counts what is not a number", { ...progress, bytesToClients: null }],
  ["counts backwards", { ...progress, bytesToContainer: -1 }],
  ["says something else", { kind: "take" }],
  ["says nothing at all", null],
] as const)
  t.test(`a bulk worker that ${what} is given nothing more`, async (t) => {
    const before = openDescriptors();
    const loop = new TestLoop();
    const [ours, theirs] = packetPair();
    let deaths = 0;
    const workers = new BulkWorkers(loop.poller, () => deaths++);
    const share = workers.begin(1000, () => t.fail("no connection has ended"));
    workers.add(ours);
    sendPacket(theirs, Buffer.from(JSON.stringify(progress)));
    await loop.until("progress is heard", () => share.counters.bytesToClients === 7);
    sendPacket(theirs, Buffer.from(JSON.stringify(message)), [theirs]);
    await loop.until("it is let go", () => deaths === 1);
    t.same([workers.size, share.size, share.counters], [0, 0, { bytesToContainer: 5, bytesToClients: 7 }]);
    closeDescriptor(theirs);
    loop.poller.close();
    t.equal(openDescriptors(), before, "what came along is closed");
  });
