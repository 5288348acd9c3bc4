import { closeSync, existsSync, fstatSync, openSync } from "node:fs";
import t from "tap";
import { namespaceInode, ownNamespacePath } from "../../../linux/netns.js";
import { LegacyRules } from "./legacy-rules.js";

const hasTables = existsSync("/proc/self/net/ip_tables_names");
const root = { skip: process.getuid!() === 0 && hasTables ? false : "needs root, and a kernel with legacy tables" };

t.test("closed once more, they close nothing that somebody else has opened meanwhile", root, (t) => {
  const rules = new LegacyRules(ownNamespacePath, namespaceInode(ownNamespacePath));
  rules.close();
  const other = openSync("/dev/null", "r");
  rules.close();
  t.doesNotThrow(() => fstatSync(other));
  closeSync(other);
  t.end();
});
