import t from "tap";
import { LogWriter } from "./log-writer.js";

const AGAIN = -11;
const ENOSPC = -28;

/** A log with so much room, or with a fault. */
function logWith(state: { room: number; fault?: number }) {
  let text = "";
  const write = (bytes: Buffer) => {
    if (state.fault !== undefined) return state.fault;
    const taken = Math.min(state.room, bytes.length);
    state.room -= taken;
    text += bytes.toString("utf8", 0, taken);
    return taken === 0 ? AGAIN : taken;
  };
  return { state, writer: new LogWriter(write, AGAIN, (lines) => `${lines} lost\n`), text: () => text };
}

t.test("lines are written as they come", (t) => {
  const { writer, text } = logWith({ room: Infinity });
  writer.add("one\n");
  writer.add("two\n");
  t.equal(text(), "one\ntwo\n");
  t.end();
});

t.test("what there is no room for now is held, and comes whole and in order", async (t) => {
  const { state, writer, text } = logWith({ room: 5 });
  const lines = Array.from({ length: 2000 }, (_, index) => `line ${index}\n`);
  for (const line of lines) writer.add(line);
  t.equal(text(), "line ");
  for (let turn = 0; text().length < lines.join("").length; turn++) {
    state.room += 777;
    writer.add("");
    if (turn % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  t.equal(text(), lines.join(""));
});

for (const fault of [AGAIN, ENOSPC])
  t.test(`what is held is bounded (${fault}); the rest is counted, and told where it is missing`, async (t) => {
    const { state, writer, text } = logWith({ room: Infinity, fault });
    const line = `${"x".repeat(1023)}\n`;
    for (let count = 0; count < 5000; count++) writer.add(line);
    delete state.fault;
    await writer.end();
    writer.add("again\n");
    const held = text().split(line).length - 1;
    t.ok(held > 500 && held <= 1024, `${held} held`);
    t.equal(text(), `${line.repeat(held)}${5000 - held} lost\nagain\n`);
  });

t.test("a single line that is too long is lost alone", (t) => {
  const { writer, text } = logWith({ room: Infinity });
  writer.add("x".repeat(2_000_000));
  writer.add("next\n");
  t.equal(text(), "1 lost\nnext\n");
  t.end();
});

t.test("it goes on by itself when there is room again", async (t) => {
  const { state, writer, text } = logWith({ room: 0 });
  writer.add("one\n");
  state.room = Infinity;
  const turn = () => new Promise((resolve) => setTimeout(resolve, 5));
  while (text() === "") await turn();
  t.equal(text(), "one\n");
});

t.test("its end is waited for while there is hope, two seconds at most", async (t) => {
  const took = async (state: { room: number; fault?: number }) => {
    const { writer } = logWith(state);
    writer.add("one\n");
    const began = performance.now();
    await writer.end();
    return performance.now() - began;
  };
  t.ok((await took({ room: Infinity })) < 500);
  t.ok((await took({ room: 0, fault: ENOSPC })) < 500, "a full disk does not empty itself");
  const full = await took({ room: 0 });
  t.ok(full >= 1900 && full < 5000, `${full} ms`);
});
