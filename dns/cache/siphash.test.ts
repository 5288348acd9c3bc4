import t from "tap";
import { SipHash } from "./siphash.js";

t.test("the same key has the same hash under one secret, another under another", (t) => {
  const one = new SipHash(Buffer.from("00000000"));
  const other = new SipHash(Buffer.from("00000001"));
  for (const key of ["", "a", "abc", "abcd", "abcde", "\xff".repeat(300)]) {
    t.equal(one.of(key), one.of(key));
    t.not(one.of(key), other.of(key), JSON.stringify(key));
    t.ok(Number.isInteger(one.of(key)) && one.of(key) >= 0 && one.of(key) < 2 ** 32);
  }
  t.end();
});

t.test("hashes of similar keys spread", (t) => {
  const hash = new SipHash();
  const buckets = new Set<number>();
  for (let index = 0; index < 4096; index++) buckets.add(hash.of(`name-${index}.example`) & 4095);
  // Of 4,096 thrown at random 63 % are hit; hardly ever fewer than 60 %.
  t.ok(buckets.size > 2450, `${buckets.size} of 4096`);
  t.end();
});
