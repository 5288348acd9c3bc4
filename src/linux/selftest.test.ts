import t from "tap";
import { layout, MMSGHDR, MSGHDR } from "./layout.js";
import { checkLayouts } from "./selftest.js";
import { openDescriptors } from "./testing/hand-loop.js";

t.test("the layouts are this machine's", async (t) => {
  const before = openDescriptors();
  t.doesNotThrow(checkLayouts);
  t.equal(openDescriptors(), before, "and looking leaves nothing open");
});

t.test("a layout that is another machine's is found out", async (t) => {
  const wrong: { object: { [key: string]: unknown }; field: string; value: number; what: RegExp }[] = [
    { object: MMSGHDR as unknown as { [key: string]: unknown }, field: "length", value: 48, what: /mmsghdr/ },
    { object: MSGHDR as unknown as { [key: string]: unknown }, field: "nameLength", value: 12, what: /mmsghdr|iovec/ },
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
});
