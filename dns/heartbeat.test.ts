import t from "tap";
import { closeDescriptor, udpSocket } from "../linux/socket.js";
import { Heartbeat } from "./heartbeat.js";
import { HEARTBEAT_SIZE } from "./protocol.js";

t.test("two that do not come back are told of, and again as long as it lasts", (t) => {
  const [heartbeat, udp] = [new Heartbeat(), udpSocket()];
  t.teardown(() => closeDescriptor(udp));
  const sent = (count: number) => Array.from({ length: count }, () => heartbeat.send(udp));
  t.notOk(heartbeat.comesBack);
  t.same(sent(1), [false]);
  t.ok(heartbeat.cameBack(), "news");
  t.notOk(heartbeat.cameBack(), "known");
  t.same(sent(2), [false, false]);
  t.ok(heartbeat.comesBack);
  t.same(sent(1), [true]);
  t.notOk(heartbeat.comesBack);
  t.same(sent(4), [false, true, false, true]);
  t.ok(heartbeat.cameBack());
  t.end();
});

t.test("nobody else's bytes are one", (t) => {
  const heartbeat = new Heartbeat();
  t.notOk(heartbeat.is(Buffer.alloc(HEARTBEAT_SIZE), 0, HEARTBEAT_SIZE));
  t.notOk(heartbeat.is(Buffer.alloc(512), 0, 512));
  t.end();
});
