import { once, EventEmitter } from "node:events";
import t from "tap";
import { Later } from "./later.js";

t.test("all that ask before it begins are served at once, and those that ask meanwhile after it", async (t) => {
  const events = new EventEmitter();
  const later = new Later({ afterTheLast: 5, afterTheFirst: 50 });
  let [begun, atOnce, most] = [0, 0, 0];
  const work = async () => {
    begun++;
    most = Math.max(most, ++atOnce);
    events.emit("begun");
    await once(events, "go on");
    atOnce--;
  };
  const first = once(events, "begun");
  for (let asked = 0; asked < 3; asked++) later.soon(work);
  await first;
  const second = once(events, "begun");
  later.soon(work);
  await new Promise((resolve) => setTimeout(resolve, 20)); // the second is due by now
  t.same([begun, most], [1, 1]);
  events.emit("go on");
  await second;
  events.emit("go on");
  await later.finish();
  t.same([begun, atOnce, most], [2, 0, 1]);
});

t.test("it is done at last, though somebody asks all the time", async (t) => {
  const later = new Later({ afterTheLast: 50, afterTheFirst: 100 });
  let isDone = false;
  for (let asked = 0; !isDone && asked < 1000; asked++) {
    later.soon(async () => {
      isDone = true;
      await Promise.resolve();
    });
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  t.ok(isDone);
});

t.test("what has not begun at the end is left", async (t) => {
  const later = new Later({ afterTheLast: 1, afterTheFirst: 1 });
  later.soon(() => Promise.reject(new Error("too late")));
  await later.finish();
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.pass();
});
