import t from "tap";
import { SourcePorts } from "./source-ports.js";

const target = (port: number) => ({ ip: "10.0.0.2", port });
const free = () => true;

t.test("flows to one target have different ports, all within the span; those to others may have the same", (t) => {
  const ports = new SourcePorts();
  ports.span = { first: 2000, last: 2009 };
  const take = (port: number) => Array.from({ length: 10 }, () => ports.take(target(port), free));
  const all = Array.from({ length: 10 }, (_, index) => 2000 + index);
  for (const port of [1, 2]) t.same(take(port).sort(), all);
  t.equal(ports.take(target(1), free), undefined);
  ports.giveBack(target(1), 2004);
  ports.giveBack(target(1), 2004);
  t.equal(ports.take(target(1), free), 2004);
  t.end();
});

t.test("what is avoided, or others have, is not taken", (t) => {
  const ports = new SourcePorts(() => 0);
  ports.span = { first: 2000, last: 2003 };
  ports.avoided = new Set([2000]);
  const asked: [number, boolean][] = [];
  const bind = (port: number, isShared: boolean) => (asked.push([port, isShared]), port !== 2001);
  t.equal(ports.take(target(1), bind), 2002);
  t.equal(ports.take(target(2), bind), 2002);
  t.same(asked, [
    [2001, false],
    [2002, false],
    [2001, false],
    [2002, true],
  ]);
  t.same([ports.isUsed(2001), ports.isUsed(2002)], [false, true]);
  ports.giveBack(target(1), 2002);
  t.ok(ports.isUsed(2002));
  ports.giveBack(target(2), 2002);
  t.notOk(ports.isUsed(2002));
  t.end();
});

t.test("where others have everything it is not tried for ever", (t) => {
  const ports = new SourcePorts();
  let asked = 0;
  t.equal(
    ports.take(target(1), () => (asked++, false)),
    undefined,
  );
  t.ok(asked <= 64);
  t.end();
});
