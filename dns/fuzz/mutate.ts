import { numbers } from "./corpus.js";
import type { Random } from "./random.js";

/** One way to spoil a message. `other` is another good message. */
type Mutation = (random: Random, message: Buffer, other: Buffer) => Buffer;

/** Bytes of the largest datagram. */
const largest = 65_507;
const odd = [0, 1, 2, 11, 12, 13, 63, 64, 127, 128, 255, 256, 0x3fff, 0x4000, 0x7fff, 0x8000, 0xc000, 0xc00c, 0xffff];

const flipBits: Mutation = (random, message) =>
  changed(message, (copy) => {
    for (let count = 1 + random.below(4); count > 0; count--) {
      const at = random.below(copy.length);
      copy[at] = copy[at]! ^ (1 << random.below(8));
    }
  });
const setBytes: Mutation = (random, message) =>
  changed(message, (copy) => {
    for (let count = 1 + random.below(8); count > 0; count--)
      copy[random.below(copy.length)] = random.pick([0, 0x2e, 0x3f, 0x40, 0x80, 0xc0, 0xff, random.below(256)]);
  });
const setNumber: Mutation = (random, message) =>
  changed(
    message,
    (copy) => void (copy.length >= 2 && copy.writeUInt16BE(random.pick(odd), random.below(copy.length - 1))),
  );
const cut: Mutation = (random, message) => message.subarray(0, random.below(message.length + 1));
const cutFront: Mutation = (random, message) => message.subarray(random.below(message.length + 1));
const append: Mutation = (random, message) => Buffer.concat([message, random.bytes(random.below(64))]);
const grow: Mutation = (random, message) =>
  Buffer.concat([message, Buffer.alloc(random.pick([500, 1300, 4000, 4096, 5000, 60_000]), random.below(256))]);
const splice: Mutation = (random, message, other) =>
  Buffer.concat([
    message.subarray(0, random.below(message.length + 1)),
    other.subarray(random.below(other.length + 1)),
  ]);
const repeat: Mutation = (random, message) => {
  const from = random.below(message.length + 1);
  const part = message.subarray(from, from + 1 + random.below(60));
  return Buffer.concat([message, ...Array.from({ length: random.below(40) }, () => part)]);
};
const lieAboutCounts: Mutation = (random, message) =>
  changed(message, (copy) => void (copy.length >= 12 && copy.writeUInt16BE(random.pick(odd), 4 + 2 * random.below(4))));
const changeFlags: Mutation = (random, message) =>
  changed(
    message,
    (copy) =>
      void (
        copy.length >= 4 &&
        copy.writeUInt16BE(
          random.pick([
            random.below(65536),
            copy.readUInt16BE(2) ^ 0x8000,
            copy.readUInt16BE(2) | (random.below(16) << 11),
            copy.readUInt16BE(2) | 0x0200,
          ]),
          2,
        )
      ),
  );
/** Anywhere behind the header: to itself, to its neighbour, to the header, beyond the end, and chains of them. */
const pointer: Mutation = (random, message) =>
  changed(message, (copy) => {
    if (copy.length < 16) return;
    for (let count = 1 + random.below(3); count > 0; count--) {
      const at = 12 + random.below(copy.length - 14);
      copy.writeUInt16BE(
        0xc000 | (random.pick([at, at - 1, at + 2, at - 2, 12, 0, copy.length, random.below(copy.length)]) & 0x3fff),
        at,
      );
    }
  });
const pointerChain: Mutation = (random, message) => {
  const from = message.length;
  const chain = Array.from(
    { length: random.below(300) },
    (_, index) => 0xc000 | ((from + 2 * (index + random.pick([-1, -1, 0, 1]))) & 0x3fff),
  );
  return Buffer.concat([message, numbers(...chain)]);
};
const labels: Mutation = (random, message) =>
  changed(
    message,
    (copy) => void (copy.length > 13 && (copy[12] = random.pick([0, 1, 62, 63, 64, 65, 0x41, 0x80, 0xbf, 0xc0, 0xff]))),
  );
const manyQuestions: Mutation = (random, message) => {
  if (message.length < 17) return message;
  const count = 1 + random.below(50);
  const more = Array.from({ length: count }, () => message.subarray(12, 300));
  return changed(
    Buffer.concat([message, ...more]),
    (copy) => void copy.writeUInt16BE(random.pick([count + 1, count, 2]), 4),
  );
};
/** EDNS of odd versions, sizes, lengths and places, once and more than once. */
const odderEdns: Mutation = (random, message) => {
  if (message.length < 12) return message;
  const records = Array.from({ length: 1 + random.below(3) }, () => {
    const data = random.bytes(random.below(30));
    return Buffer.concat([
      random.pick([Buffer.from([0]), Buffer.from([0xc0, 12]), Buffer.from([1, 0x61, 0])]),
      numbers(
        41,
        random.pick(odd),
        random.pick([0, 0x0100, 0xff00, 1]),
        random.below(65536),
        random.pick([data.length, data.length, random.pick(odd)]),
      ),
      data,
    ]);
  });
  return changed(
    Buffer.concat([message, ...records]),
    (copy) =>
      void copy.writeUInt16BE(random.pick([records.length, records.length + 1, 1]), random.pick([10, 10, 6, 8])),
  );
};
const replaced: Mutation = (random) =>
  random.bytes(random.pick([0, 1, 2, 3, 11, 12, 13, 17, random.below(64), random.below(1300)]));

const mutations: readonly Mutation[] = [
  flipBits,
  flipBits,
  setBytes,
  setNumber,
  cut,
  cutFront,
  append,
  grow,
  splice,
  repeat,
  lieAboutCounts,
  changeFlags,
  pointer,
  pointerChain,
  labels,
  manyQuestions,
  odderEdns,
  replaced,
];

/** A message spoilt in one to four ways. No more than a datagram or a frame holds. */
export function mutate(random: Random, message: Buffer, other: Buffer): Buffer {
  let spoilt = message;
  for (let count = 1 + random.below(4); count > 0; count--)
    spoilt = random
      .pick(mutations)(random, spoilt.length === 0 ? message : spoilt, other)
      .subarray(0, largest);
  return spoilt;
}

function changed(message: Buffer, change: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(message);
  if (copy.length > 0) change(copy);
  return copy;
}
