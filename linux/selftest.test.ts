import t from "tap";
import { layout, MMSGHDR, MSGHDR } from "./layout.js";
import { checkLayouts, versionProblem } from "./selftest.js";
import { openDescriptors } from "./testing/loop.js";

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

t.test("a kernel before 5.10 is too old", (t) => {
  for (const version of ["5.10.0", "5.15.0-91-generic", "6.1.0", "10.0"])
    t.equal(versionProblem(version), undefined, version);
  for (const version of ["5.9.16", "4.19.0-26-amd64"])
    t.match(versionProblem(version), /too old; pontoon needs 5\.10/, version);
  t.end();
});
