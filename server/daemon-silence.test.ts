import t from "tap";
import { TestLoop } from "../linux/testing/loop.js";
import { DaemonSilence } from "./daemon-silence.js";

t.test("four turns without a word are silence, told once, until it speaks again", (t) => {
  const loop = new TestLoop();
  let told = 0;
  const silence = new DaemonSilence(loop.timers, () => told++);
  const turns = (count: number) => {
    for (let turn = 0; turn < count; turn++) loop.pass(1000);
  };
  turns(10);
  t.equal(told, 0, "nobody is there");
  silence.begin();
  turns(3);
  silence.begin(); // said hello once more, which is no sign of life
  t.equal(told, 0);
  turns(1);
  t.equal(told, 1);
  turns(10);
  t.equal(told, 1);
  t.equal(silence.heard(), true);
  t.equal(silence.heard(), false);
  turns(3);
  t.equal(silence.heard(), false);
  turns(4);
  t.equal(told, 2);
  silence.end();
  turns(10);
  silence.begin();
  turns(3);
  t.equal(told, 2);
  loop.pass(60_000);
  t.equal(told, 3, "however long a turn takes, it is one");
  t.end();
});
