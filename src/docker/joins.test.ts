import t from "tap";
import { Joins } from "./joins.js";

t.test("networks are being joined until their container has", (t) => {
  let changes = 0;
  const joins = new Joins(() => changes++);
  joins.begin("a", "n1");
  joins.begin("a", "n2");
  joins.begin("b", "n1");
  t.same(joins.networks(), ["n1", "n2"]);
  t.equal(joins.isJoining("a"), true);
  joins.end("a");
  t.same(joins.networks(), ["n1"], "b is still about it");
  joins.end("b");
  t.same(joins.networks(), []);
  t.equal(joins.isJoining("a"), false);
  t.equal(changes, 5);
  joins.end("b");
  t.equal(changes, 5, "nothing changed");
  t.end();
});

t.test("a join that takes too long is over", (t) => {
  let now = 0;
  const joins = new Joins(
    () => undefined,
    () => now,
  );
  joins.begin("a", "n1");
  now = 29_000;
  joins.begin("b", "n2");
  joins.expire();
  t.same(joins.networks(), ["n1", "n2"]);
  now = 31_000;
  joins.expire();
  t.same(joins.networks(), ["n2"]);
  now = 60_000;
  joins.expire();
  t.same(joins.networks(), []);
  t.end();
});

t.test("all are over at once", (t) => {
  let changes = 0;
  const joins = new Joins(() => changes++);
  joins.begin("a", "n1");
  joins.begin("b", "n2");
  joins.clear();
  t.same(joins.networks(), []);
  joins.clear();
  t.equal(changes, 3, "the second time there was nothing to end");
  t.end();
});
