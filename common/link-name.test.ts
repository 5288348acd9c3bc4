import t from "tap";
import { isLinkName } from "./link-name.js";

t.test("what may be a link's name", (t) => {
  for (const name of ["lo", "br-0123456789ab", "x".repeat(15), "ä".repeat(7), "..."]) t.ok(isLinkName(name), name);
  for (const name of ["", ".", "..", "x".repeat(16), "ä".repeat(8), "a/b", "a:b", "a b", "a\tb", "a\n"])
    t.notOk(isLinkName(name), name);
  t.end();
});
