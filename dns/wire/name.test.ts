import fc from "fast-check";
import t from "tap";
import { foldCase, keyOfText, labelsOf, reverseKey, splitPositions, textOfKey } from "./name.js";

const label = (length: number) => "x".repeat(length);

t.test("a name becomes length bytes and labels, letters folded", (t) => {
  t.equal(keyOfText("Web"), "\x03web");
  t.equal(keyOfText("web."), "\x03web", "one trailing dot says nothing");
  t.equal(keyOfText("my_app-1.Proj_default"), "\x08my_app-1\x0cproj_default");
  t.equal(keyOfText("bücher"), "\x07b\xc3\xbccher", "other letters are their UTF-8 bytes");
  t.equal(keyOfText("Ä"), "\x02\xc3\x84", "and are not folded");
  t.end();
});

t.test("what cannot be a name in DNS has no key", (t) => {
  const cases: [why: string, text: string][] = [
    ["nothing", ""],
    ["the root", "."],
    ["an empty first label", ".web"],
    ["an empty label inside", "a..b"],
    ["two trailing dots", "web.."],
    ["a label of 64 bytes", label(64)],
    ["a label of 64 bytes in 32 letters", "ü".repeat(32)],
    ["256 bytes in all", [label(63), label(63), label(63), label(62)].join(".")],
  ];
  for (const [why, text] of cases) t.equal(keyOfText(text), undefined, why);
  t.equal(keyOfText(label(63))?.length, 64, "63 bytes are a label");
  t.equal(
    keyOfText([label(63), label(63), label(63), label(61)].join("."))?.length,
    254,
    "255 bytes with the root's are a name",
  );
  t.end();
});

t.test("a key is shown with everything but plain characters escaped", (t) => {
  t.equal(textOfKey(""), ".");
  t.equal(textOfKey("\x03web\x05front"), "web.front");
  t.equal(textOfKey("\x06db.red"), "db\\.red");
  t.equal(textOfKey("\x03a\\b"), "a\\\\b");
  t.equal(textOfKey("\x04\x00 \x7f\xff"), "\\000\\032\\127\\255");
  t.end();
});

t.test("a key is cut at its labels only", (t) => {
  const key = keyOfText("a.bc.def")!;
  t.same(labelsOf(key), ["a", "bc", "def"]);
  t.same(
    splitPositions(key).map((at) => key.slice(at)),
    ["\x02bc\x03def", "\x03def"],
  );
  t.same(splitPositions("\x06db.red"), [], "a dot inside a label separates nothing");
  t.same(labelsOf(""), []);
  t.same(splitPositions(""), []);
  t.end();
});

t.test("only ASCII letters are folded", (t) => {
  const all = String.fromCharCode(...Array.from({ length: 256 }, (_, byte) => byte));
  const folded = foldCase(all);
  for (let byte = 0; byte < 256; byte++) {
    const expected = byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
    if (folded.charCodeAt(byte) !== expected) t.fail(`byte ${byte} became ${folded.charCodeAt(byte)}`);
  }
  t.equal(folded.length, 256);
  t.end();
});

t.test("addresses are asked for backwards", (t) => {
  t.equal(reverseKey({ ipv4: [10, 0, 2, 255] }), keyOfText("255.2.0.10.in-addr.arpa"));
  const ipv6 = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xab, 0xcd, 0, 1];
  const nibbles = "1.0.0.0.d.c.b.a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2";
  t.equal(reverseKey({ ipv6 }), keyOfText(`${nibbles}.ip6.arpa`));
  t.end();
});

t.test("a host name survives the way to a key and back, in lower case", (t) => {
  const hostLabel = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_-]{0,20}$/);
  const holds = () =>
    fc.assert(
      fc.property(fc.array(hostLabel, { minLength: 1, maxLength: 8 }), (labels) => {
        const text = labels.join(".");
        return textOfKey(keyOfText(text)!) === text.toLowerCase();
      }),
    );
  t.doesNotThrow(holds);
  t.end();
});
