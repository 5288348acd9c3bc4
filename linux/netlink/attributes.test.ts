import fc from "fast-check";
import t from "tap";
import { AttributeWriter, Attributes, attributesIn } from "./attributes.js";

t.test("what is written is read again", (t) => {
  const writer = new AttributeWriter(8); // has to grow
  writer.u8(1, 200);
  writer.u16(2, 50_000);
  writer.u32(3, 0xfffffffe);
  writer.u64(4, 2 ** 52 + 3);
  writer.text(5, "pontoon");
  writer.raw(6, Buffer.of(1, 2, 3));
  writer.nest(7, () => {
    writer.nest(1, () => writer.u32(1, 53));
    writer.nest(1, () => writer.u32(1, 54));
    writer.u8(2, 1);
  });
  t.equal(writer.length % 4, 0);
  const attributes = new Attributes(writer.bytes);
  t.same(
    [attributes.u8(1), attributes.u16(2), attributes.u32(3), attributes.u64(4), attributes.text(5), attributes.raw(6)],
    [200, 50_000, 0xfffffffe, 2 ** 52 + 3, "pontoon", Buffer.of(1, 2, 3)],
  );
  t.same(
    attributes.list(7, 1).map((part) => new Attributes(part).u32(1)),
    [53, 54],
    "only those of the list's own type",
  );
  t.ok(attributes.has(7));
  t.notOk(attributes.has(8));
  t.end();
});

t.test("bytes are as the kernel wants them", (t) => {
  const writer = new AttributeWriter();
  writer.nest(4, () => writer.u16(1, 53));
  writer.text(1, "ab");
  t.equal(writer.bytes.toString("hex"), "0c000480" + "060001000035" + "0000" + "07000100616200" + "00");
  t.end();
});

t.test("what has another size than it should is not there", (t) => {
  const writer = new AttributeWriter();
  writer.raw(1, Buffer.of(1, 2, 3));
  const attributes = new Attributes(writer.bytes);
  t.same(
    [attributes.u8(1), attributes.u16(1), attributes.u32(1), attributes.u64(1)],
    [undefined, undefined, undefined, undefined],
  );
  t.equal(new Attributes(Buffer.from("0500010041", "hex")).text(1), "A", "a text that does not end");
  t.end();
});

t.test("an attribute beyond 64 KB cannot be written", (t) => {
  t.throws(() => new AttributeWriter().raw(1, Buffer.alloc(65_536)), RangeError);
  t.throws(() => {
    const writer = new AttributeWriter();
    writer.nest(1, () => {
      for (let count = 0; count < 3; count++) writer.raw(1, Buffer.alloc(30_000));
    });
  }, RangeError);
  t.end();
});

t.test("any bytes are read to an end", (t) => {
  const total = (bytes: Buffer, depth: number): number => {
    let sum = 0;
    for (const [, value] of attributesIn(bytes)) sum += 1 + (depth > 0 ? total(value, depth - 1) : 0);
    return sum;
  };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(40), fc.nat(40), (raw, at, length) => {
      const bytes = Buffer.from(raw);
      if (bytes.length >= 44) bytes.writeUInt16LE(length, at);
      return total(bytes, 3) <= bytes.length;
    }),
  );
  t.end();
});
