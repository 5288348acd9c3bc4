import t from "tap";
import { layout, MMSGHDR, MSGHDR } from "./layout.js";
import { checkLayouts } from "./selftest.js";
import { openDescriptors } from "./test-loop.js";

t.test("the layouts are this machine's", (t) => {
  const before = openDescriptors();
  t.doesNotThrow(checkLayouts);
  t.equal(openDescriptors(), before, "and looking leaves nothing open");
  t.end();
});

t.test("a layout that is another machine's is found out", (t) => {
  const wrong: { object: { [key: string]: unknown }; field: string; value: number; what: RegExp }[] = [
    { object: MMSGHDR, field: "length", value: 48, what: /mmsghdr/ },
    { object: MSGHDR, field: "nameLength", value: 12, what: /mmsghdr|iovec/ },
  ];
  t.ok(layout.architecture === process.arch);
  for (const { object, field, value, what } of wrong) {
    const right = object[field];
    object[field] = value;
    try {
      t.throws(checkLayouts, { message: what }, field);
    } finally {
      object[field] = right;
    }
  }
  t.end();
});
