import t from "tap";
import { HeldTakeover } from "./held-takeovers.js";
import type { Takeover } from "./takeover.js";

const held = () => new HeldTakeover({ port: 1 } as Takeover);
const settled = (promise: Promise<void>) =>
  Promise.race([promise.then(() => true), new Promise<boolean>((resolve) => setImmediate(resolve, false))]);

t.test("a step is over when the server has come so far, or further", async (t) => {
  const one = held();
  t.notOk(one.isLettingGo);
  const releasing = one.reached("releasing", 60_000);
  t.ok(one.isLettingGo);
  t.notOk(await settled(releasing));
  one.acknowledge("releasing");
  t.ok(await settled(releasing));
  t.notOk(one.isLettingGo);
  const released = one.reached("released", 60_000);
  one.acknowledge("releasing");
  t.notOk(await settled(released), "not yet");
  one.acknowledge("released");
  t.ok(await settled(released));
  const other = one.reached("releasing", 60_000);
  one.acknowledge("released");
  t.ok(await settled(other));
});

t.test("a server that says nothing is not waited for any longer than that", async (t) => {
  const one = held();
  await one.reached("releasing", 1);
  t.notOk(one.isLettingGo);
});
