import t from "tap";
import { RecentNames } from "./recent-names.js";

t.test("a name is recent for as long as was said", (t) => {
  const names = new RecentNames(3000);
  names.add("web", 10);
  t.ok(names.has("web", 3009));
  t.notOk(names.has("db", 20));
  t.notOk(names.has("web", 3010));
  t.notOk(names.has("web", 20), "and then forgotten");
  t.end();
});

t.test("the 64 latest are held", (t) => {
  const names = new RecentNames(3000);
  for (let n = 0; n < 64; n++) names.add(`name-${n}`, n);
  names.add("name-0", 64);
  names.add("another", 65);
  t.ok(names.has("another", 66));
  t.ok(names.has("name-0", 66), "seen again");
  t.notOk(names.has("name-1", 66), "the one seen first is forgotten");
  t.ok(names.has("name-2", 66));
  t.end();
});
