import fc from "fast-check";
import t from "tap";
import { printable, printableJson } from "./printable.js";

t.test("what a terminal obeys is written out", (t) => {
  const cases: [text: string, expected: string][] = [
    ["plain text, ü, 漢字, 🐳", "plain text, ü, 漢字, 🐳"],
    ["a\nb\r\tc", "a\\nb\\r\\tc"],
    ["\x1b[2J\x00\x7f", "\\x1b[2J\\x00\\x7f"],
    ["\x9b31m\x85", "\\x9b31m\\x85"],
    ["\u202eevil\u2066\u200f", "\\u202eevil\\u2066\\u200f"],
    ["a\u2028b\u2029c\ufeff", "a\\u2028b\\u2029c\\ufeff"],
    ["\u{e0001}\ud800x", "\\u{e0001}\\ud800x"],
  ];
  for (const [text, expected] of cases) {
    t.equal(printable(text), expected);
    t.equal(printable(expected), expected, "what is written out stays");
  }
  t.end();
});

t.test("nothing that does not print is left, and JSON says the same", (t) => {
  const text = fc.string({ unit: "binary", maxLength: 40 });
  const left = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;
  t.doesNotThrow(() => fc.assert(fc.property(text, (given) => !left.test(printable(given)))));
  const laidOut = (given: string) => printableJson(JSON.stringify({ [given]: [given] }, undefined, 2));
  t.doesNotThrow(() => fc.assert(fc.property(text, (given) => !left.test(laidOut(given).replaceAll("\n", "")))));
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(text, (given) => JSON.stringify(JSON.parse(laidOut(given))) === JSON.stringify({ [given]: [given] })),
    ),
  );
  t.equal(
    laidOut("\x7f\x9b\u202e\u{e0001}\n"),
    '{\n  "\\u007f\\u009b\\u202e\\udb40\\udc01\\n": [\n    "\\u007f\\u009b\\u202e\\udb40\\udc01\\n"\n  ]\n}',
  );
  t.end();
});
