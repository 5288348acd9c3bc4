import t from "tap";
import { amount, anyOf, flag, integer, listOf, messageReader, optional, record, text, tuple, word } from "./shape.js";

t.test("each shape takes what it says, and nothing else", (t) => {
  for (const [shape, good, bad] of [
    [integer(0, 5), [0, 5], [-1, 6, 0.5, NaN, Infinity, "1", null, undefined, 2 ** 60]],
    [amount, [0, 0.5, 1e300], [-0.1, NaN, Infinity, "1", null]],
    [flag, [true, false], [0, "true", null, undefined]],
    [text(3), ["", "abc"], ["abcd", 3, null, undefined]],
    [word(3), ["a"], ["", "abcd"]],
    [optional(flag), [undefined, true], [null, 0]],
    [listOf(flag, 2), [[], [true, false]], [[true, true, true], [1], {}, null, "tt", { length: 1, 0: true }]],
    [tuple(flag, text(1)), [[true, ""]], [[true], [true, "", 1], {}]],
    [
      record<{ a: boolean; b?: string }>({ a: flag, b: optional(text(1)) }),
      [{ a: true }, { a: true, b: "x", c: 1 }],
      [{}, { b: "x" }, [], null, "a", Object.create({ a: true })],
    ],
    [anyOf(flag, integer(0)), [true, 7], ["7"]],
  ] as const) {
    for (const value of good) t.ok(shape(value), JSON.stringify(value));
    for (const value of bad) t.notOk(shape(value), JSON.stringify(value));
  }
  const read = messageReader<{ kind: "a"; n: number } | { kind: "b" }>({ a: { n: integer(0) }, b: {} });
  t.same([read({ kind: "a", n: 1 }), read({ kind: "b" })], [{ kind: "a", n: 1 }, { kind: "b" }]);
  for (const value of [
    { kind: "a" },
    { kind: "toString" },
    { kind: "__proto__" },
    { kind: null },
    {},
    null,
    [],
    "b",
    5,
  ])
    t.equal(read(value), undefined, JSON.stringify(value));
  t.end();
});
