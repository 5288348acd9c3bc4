import fc from "fast-check";
import t from "tap";
import { EventLines, readEvent, type DockerEvent } from "./events.js";

const started = { Type: "container", Action: "start", Actor: { ID: "c1", Attributes: { name: "wéb" } } };
const joined = {
  Type: "network",
  Action: "connect",
  Actor: { ID: "n1", Attributes: { container: "c1", name: "front", type: "bridge" } },
};
const asStart: DockerEvent = { type: "container", action: "start", id: "c1", container: undefined };
const asJoin: DockerEvent = { type: "network", action: "connect", id: "n1", container: "c1" };

function reader(): { lines: EventLines; events: DockerEvent[] } {
  const events: DockerEvent[] = [];
  return { lines: new EventLines((event) => events.push(event)), events };
}

t.test("an event is reduced to what it is about", (t) => {
  t.same(readEvent(JSON.stringify(started)), asStart);
  t.same(readEvent(JSON.stringify(joined)), asJoin);
  const labelled = { ...started, Actor: { ID: "c1", Attributes: { container: "a label of that name" } } };
  t.same(readEvent(JSON.stringify(labelled)), asStart, "a container joins nobody");
  t.end();
});

t.test("what is not an event is skipped", (t) => {
  const cases: [what: string, line: string][] = [
    ["nothing", ""],
    ["half of one", JSON.stringify(started).slice(0, 40)],
    ["no JSON", "{oops}"],
    ["an array", "[]"],
    ["null", "null"],
    ["null in braces", '{"Actor":null}'],
    ["another type", JSON.stringify({ ...started, Type: "image" })],
    ["no action", JSON.stringify({ ...started, Action: undefined })],
    ["no actor", JSON.stringify({ ...started, Actor: undefined })],
    ["an id that is a number", JSON.stringify({ ...started, Actor: { ID: 5 } })],
  ];
  for (const [what, line] of cases) t.equal(readEvent(line), undefined, what);
  t.same(
    readEvent(JSON.stringify({ ...joined, Actor: { ID: "n1" } })),
    { ...asJoin, container: undefined },
    "attributes may be missing",
  );
  t.same(
    readEvent(JSON.stringify({ ...joined, Actor: { ID: "n1", Attributes: { container: 5 } } })),
    { ...asJoin, container: undefined },
    "or odd",
  );
  t.end();
});

t.test("an event is told when its last byte is there, with or without a newline", (t) => {
  const { lines, events } = reader();
  lines.push(Buffer.from(JSON.stringify(started)));
  t.same(events, [asStart], "not only when the next one comes");
  lines.push(Buffer.from("\n"));
  lines.push(Buffer.from(`${JSON.stringify(joined)}\r\n`));
  t.same(events, [asStart, asJoin], "nor twice");
  t.end();
});

t.test("a line that makes no sense costs itself only", (t) => {
  const { lines, events } = reader();
  lines.push(Buffer.from(`${JSON.stringify(started)}\n{"Type":"contai\n\n${JSON.stringify(joined)}\n`));
  t.same(events, [asStart, asJoin]);
  t.end();
});

t.test("a line without an end does not fill the memory, and the stream goes on after it", (t) => {
  const { lines, events } = reader();
  const chunk = Buffer.alloc(1 << 20, "x");
  for (let count = 0; count < 6; count++) lines.push(chunk);
  lines.push(Buffer.from(`\n${JSON.stringify(started)}\n`));
  t.same(events, [asStart]);
  t.end();
});

t.test("however the stream is cut, the same events come out", (t) => {
  const bytes = Buffer.from([started, joined, started].map((event) => `${JSON.stringify(event)}\n`).join(""));
  const holds = () =>
    fc.assert(
      fc.property(fc.array(fc.nat({ max: bytes.length }), { maxLength: 12 }), (cuts) => {
        const { lines, events } = reader();
        const ends = [...new Set([...cuts, bytes.length])].sort((a, b) => a - b);
        ends.forEach((end, index) => lines.push(bytes.subarray(ends[index - 1] ?? 0, end)));
        return JSON.stringify(events) === JSON.stringify([asStart, asJoin, asStart]);
      }),
    );
  t.doesNotThrow(holds);
  t.end();
});
