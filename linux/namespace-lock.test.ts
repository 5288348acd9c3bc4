import t from "tap";
import { lockNamespace } from "./namespace-lock.js";
import { insideNewNamespace } from "./netns.js";
import { closeDescriptor } from "./socket.js";

t.test("a name is held by one in each network namespace", (t) => {
  const name = `pontoon test ${process.pid}`;
  const held = lockNamespace(name);
  t.ok(held);
  t.equal(lockNamespace(name), undefined);
  if (process.getuid?.() === 0)
    insideNewNamespace(() => {
      const there = lockNamespace(name);
      t.ok(there, "another namespace has names of its own");
      closeDescriptor(there!);
    });
  closeDescriptor(held!);
  const again = lockNamespace(name);
  t.ok(again, "it is free when it was let go of");
  closeDescriptor(again!);
  t.end();
});
