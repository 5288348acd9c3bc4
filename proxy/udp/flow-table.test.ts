import fc from "fast-check";
import t from "tap";
import { FlowTable, type Listed } from "./flow-table.js";

class Entry implements Listed<Entry> {
  sibling: Entry | undefined;
  older: Entry | undefined;
  newer: Entry | undefined;
  constructor(
    readonly key: number | string,
    readonly name: number,
  ) {}
}

t.test("it behaves as a plain list in the order of use", (t) => {
  const operation = fc.tuple(fc.constantFrom("add", "touch", "remove"), fc.nat(5), fc.nat(20));
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 100 }), (operations) => {
      const table = new FlowTable<Entry>();
      let list: Entry[] = [];
      for (const [index, [what, key, pick]] of operations.entries()) {
        const chosen = list[pick % Math.max(1, list.length)];
        if (what === "add") {
          const entry = new Entry(key, index);
          table.add(entry);
          list.push(entry);
        } else if (chosen && what === "touch") {
          table.touch(chosen);
          list = [...list.filter((entry) => entry !== chosen), chosen];
        } else if (chosen) {
          table.remove(chosen);
          list = list.filter((entry) => entry !== chosen);
        }
        if (table.size !== list.length || table.oldest !== list[0]) return false;
        for (let key = 0; key <= 5; key++) {
          const found = [];
          for (let entry = table.first(key); entry; entry = entry.sibling) found.push(entry.name);
          const expected = list.filter((entry) => entry.key === key).map(({ name }) => name);
          if (found.sort((a, b) => a - b).join() !== expected.sort((a, b) => a - b).join()) return false;
        }
      }
      return true;
    }),
  );
  t.end();
});
