import t from "tap";
import { Queue } from "./queue.js";

t.test("work is done one after the other, whatever becomes of it", async (t) => {
  const queue = new Queue();
  const log: string[] = [];
  let finish = (): void => undefined;
  const first = queue.run(async () => {
    log.push("first begins");
    await new Promise<void>((resolve) => (finish = resolve));
    log.push("first ends");
    return 1;
  });
  const second = queue.run(() => {
    log.push("second");
    return Promise.reject(new Error("it failed"));
  });
  const third = queue.run(() => {
    log.push("third");
    return Promise.resolve(3);
  });
  await new Promise(setImmediate);
  t.same(log, ["first begins"]);
  finish();
  t.equal(await first, 1);
  await t.rejects(second, { message: "it failed" });
  t.equal(await third, 3);
  t.same(log, ["first begins", "first ends", "second", "third"]);
});
