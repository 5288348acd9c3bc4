import fc from "fast-check";
import t from "tap";
import { ListScanner, type Listed } from "./list-scanner.js";

function scan(bytes: Buffer, cuts: readonly number[] = []): { listed: Listed[]; isOver: boolean } {
  const listed: Listed[] = [];
  const scanner = new ListScanner((each) => listed.push(each));
  const ends = [...new Set([...cuts.filter((cut) => cut < bytes.length), bytes.length])].sort((a, b) => a - b);
  ends.forEach((end, index) => scanner.push(bytes.subarray(ends[index - 1] ?? 0, end)));
  return { listed, isOver: scanner.isOver };
}

t.test("ids, names and states are read, whatever else is said, and however it is cut", (t) => {
  const json = fc.jsonValue({ maxDepth: 3 });
  const word = fc.stringMatching(/^[a-z0-9_-]{1,20}$/);
  const other = fc.dictionary(
    fc.string().filter((key) => !["Id", "Names", "State"].includes(key)),
    json,
    { maxKeys: 4 },
  );
  const thing = fc
    .tuple(
      word,
      fc.array(
        word.map((name) => `/${name}`),
        { maxLength: 3 },
      ),
      word,
      other,
      other,
    )
    .map(([Id, Names, State, before, after]) => ({ ...before, Id, Names, State, ...after }));
  const holds = () =>
    fc.assert(
      fc.property(fc.array(thing, { maxLength: 5 }), fc.array(fc.nat(4000), { maxLength: 40 }), (things, cuts) => {
        const { listed, isOver } = scan(Buffer.from(JSON.stringify(things)), cuts);
        const expected = things.map(({ Id, Names, State }) => ({ id: Id, name: Names[0] ?? "", state: State }));
        return isOver && JSON.stringify(listed) === JSON.stringify(expected);
      }),
      { seed: 7 },
    );
  t.doesNotThrow(holds);
  t.end();
});

t.test("what a container says of itself does not pass for another", (t) => {
  const hostile = '"}],{"Id":"forged","State":"running"}';
  t.same(
    scan(
      Buffer.from(
        JSON.stringify([
          {
            Id: "one",
            Labels: { [hostile]: hostile, Id: "forged" },
            Mounts: [{ Id: "forged" }],
            Command: hostile,
            State: "exited",
          },
          { Id: "two" },
        ]),
      ),
    ).listed.map(({ id }) => id),
    ["one", "two"],
  );
  t.end();
});

t.test("a list that ends in the middle, or is none, is not over", (t) => {
  for (const text of ["", "[", '[{"Id":"one"', '[{"Id":"one"}', '{"message":"no"', "]]]]", "nonsense"])
    t.notOk(scan(Buffer.from(text)).isOver && scan(Buffer.from(text)).listed.length > 0, text);
  t.match(scan(Buffer.from("null\n")), { listed: { length: 0 }, isOver: false });
  t.match(scan(Buffer.from("[]\n")), { listed: { length: 0 }, isOver: true });
  t.end();
});
