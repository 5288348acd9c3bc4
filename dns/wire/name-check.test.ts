import fc from "fast-check";
import t from "tap";
import { TYPE } from "./query.js";
import { endOfValidName, hasValidNames } from "./name-check.js";

const header = Buffer.alloc(12);
/** A message whose bytes behind the header are these. */
const message = (...bytes: number[]) => Buffer.concat([header, Buffer.from(bytes)]);
const web = [3, 0x77, 0x65, 0x62, 0];

t.test("a name ends behind its last label or its first pointer", (t) => {
  t.equal(endOfValidName(message(0), 12), 13, "the root");
  t.equal(endOfValidName(message(...web), 12), 17);
  t.equal(endOfValidName(message(...web, 0xc0, 12), 17), 19);
  t.equal(endOfValidName(message(...web, 1, 0x61, 0xc0, 12, 1, 0x62, 0xc0, 17), 21), 25, "through two pointers");
  t.end();
});

t.test("a pointer leads back, behind the header", (t) => {
  t.equal(endOfValidName(message(0xc0, 12), 12), undefined, "itself");
  t.equal(endOfValidName(message(1, 0x61, 0xc0, 12), 12), undefined, "the name it ends");
  t.equal(endOfValidName(message(0xc0, 14, 0xc0, 12), 12), undefined, "forwards, and back");
  t.equal(endOfValidName(message(0xc0, 0), 12), undefined, "the header");
  t.equal(endOfValidName(message(...web, 0xc0, 19, ...web), 17), undefined, "forwards");
  t.equal(endOfValidName(message(...web, 0xc0), 17), undefined, "half a pointer");
  t.end();
});

t.test("what a pointer leads to ends before it, and is not changed when the message is passed on", (t) => {
  t.equal(endOfValidName(message(4, 0x61, 0xc0, 12, 0, 0), 14), undefined, "a label that reaches over the pointer");
  const later = message(...web, 0, 1, 0, 1, 0xc0, 17);
  t.equal(endOfValidName(later, 21), 23);
  t.equal(endOfValidName(later, 21, [17]), undefined, "into a field");
  t.equal(endOfValidName(message(...web, 0, 0, 0, 0, 0xc0, 12), 21, [17]), 23, "before one");
  t.equal(endOfValidName(message(2, 0x61, 0x62, 0, 0, 0xc0, 12), 17, [14]), undefined, "from outside into one");
  t.equal(endOfValidName(message(9, 9, 9, 9, 9, 9, 9, 9, 0, 0xc0, 20), 21, [12, 16]), 23, "behind two");
  t.end();
});

t.test("a name is no longer than 255 bytes, and inside of its message", (t) => {
  const labels = (count: number, last: number) => [
    ...Array.from({ length: count }, () => [63, ...Array<number>(63).fill(0x61)]).flat(),
    last,
    ...Array<number>(last).fill(0x61),
    0,
  ];
  t.equal(endOfValidName(message(...labels(3, 61)), 12), 267);
  t.equal(endOfValidName(message(...labels(3, 62)), 12), undefined);
  t.equal(endOfValidName(message(3, 0x77), 12), undefined);
  t.equal(endOfValidName(message(3, 0x77, 0x65, 0x62), 12), undefined, "without its end");
  t.equal(endOfValidName(message(0x40, 0), 12), undefined, "a reserved label");
  const pointerTo = (at: number) => [0xc0 | (at >> 8), at & 255];
  const many = message(
    0,
    ...Array.from({ length: 200 }, (_, index) => pointerTo(12 + Math.max(0, 2 * index - 1))).flat(),
  );
  t.type(endOfValidName(many, 13 + 2 * 100), "number", "a hundred pointers");
  t.equal(endOfValidName(many, 13 + 2 * 150), undefined, "more pointers than a name has labels");
  t.end();
});

t.test("names in data are sound and inside of it", (t) => {
  const data = message(...web, ...web);
  t.ok(hasValidNames(data, TYPE.CNAME, 12, 5));
  t.notOk(hasValidNames(data, TYPE.CNAME, 12, 4), "it goes on behind the data");
  t.ok(hasValidNames(data, TYPE.SOA, 12, 10));
  t.notOk(hasValidNames(data, TYPE.SOA, 12, 9));
  t.notOk(hasValidNames(data, TYPE.SOA, 17, 5), "one name of two");
  t.ok(hasValidNames(message(0, 1, ...web), TYPE.MX, 12, 7));
  t.ok(hasValidNames(message(0xc0, 12), TYPE.TXT, 12, 2), "text is nobody's name");
  t.end();
});

t.test("every name ends, whatever the bytes", (t) => {
  const bytes = fc.array(fc.oneof(fc.constantFrom(0, 1, 2, 63, 0xc0, 0xc0, 0xff), fc.nat(255)), { maxLength: 400 });
  fc.assert(
    fc.property(bytes, fc.nat(420), (body, at) => {
      const whole = message(...body);
      const end = endOfValidName(whole, at);
      return end === undefined || (end > at && end <= whole.length);
    }),
    { numRuns: 5000 },
  );
  t.end();
});
