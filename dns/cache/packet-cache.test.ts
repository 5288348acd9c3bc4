import t from "tap";
import { PacketCache, SharedRoom } from "./packet-cache.js";

t.test("a reply is found under its query and under no other", (t) => {
  const cache = new PacketCache();
  const reply = Buffer.from("reply");
  cache.put("query", [reply]);
  t.same(cache.get("query")?.variants, [reply]);
  t.equal(cache.get("Query"), undefined);
  t.equal(cache.get(""), undefined);
  t.end();
});

t.test("the first variant has been given out when it is put", (t) => {
  const cache = new PacketCache();
  cache.put("several", [Buffer.from("a"), Buffer.from("b"), Buffer.from("c")]);
  cache.put("one", [Buffer.from("a")]);
  t.equal(cache.get("several")?.next, 1);
  t.equal(cache.get("one")?.next, 0);
  t.end();
});

t.test("the newest reply replaces an older one", (t) => {
  const cache = new PacketCache();
  cache.put("query", [Buffer.from("old")]);
  cache.put("query", [Buffer.from("new")]);
  t.same(cache.get("query")?.variants, [Buffer.from("new")]);
  t.end();
});

t.test("clearing forgets everything", (t) => {
  const cache = new PacketCache();
  cache.put("query", [Buffer.from("reply")]);
  cache.clear();
  t.equal(cache.get("query"), undefined);
  t.end();
});

t.test("it does not grow without end, and keeps what was put last", (t) => {
  const cache = new PacketCache(new SharedRoom(0));
  const count = 20_000;
  for (let index = 0; index < count; index++) cache.put(`query ${index}`, []);
  const kept = Array.from({ length: count }, (_, index) => cache.get(`query ${index}`)).filter(
    (entry) => entry !== undefined,
  );
  t.ok(kept.length <= 1024, `${kept.length} entries are kept`);
  t.ok(cache.get(`query ${count - 1}`));
  t.end();
});

t.test("it is bounded in bytes, too", (t) => {
  const cache = new PacketCache(new SharedRoom(0));
  const reply = [Buffer.alloc(4096)];
  const kept = () =>
    Array.from({ length: 500 }, (_, index) => cache.get(`query ${index}`)).filter((entry) => entry !== undefined)
      .length;
  for (let index = 0; index < 500; index++) {
    cache.put(`query ${index}`, reply);
    t.ok(kept() * 4096 <= 512 * 1024);
  }
  t.ok(cache.get("query 499"));
  cache.clear();
  for (let turn = 0; turn < 500; turn++) cache.put("query 1", reply);
  cache.put("query 2", reply);
  t.equal(kept(), 2, "what is put again takes no more room");
  cache.put("q".repeat(513), reply);
  t.equal(cache.get("q".repeat(513)), undefined, "an uncommonly long query is not kept");
  t.end();
});

t.test("beyond their own entries, clients share what room there is, and give it back", (t) => {
  const room = new SharedRoom(200_000);
  const [greedy, modest] = [new PacketCache(room), new PacketCache(room)];
  const fill = (cache: PacketCache, count: number) => {
    for (let index = 0; index < count; index++) cache.put(`query ${index}`, [Buffer.alloc(100)]);
    return Array.from({ length: count }, (_, index) => cache.get(`query ${index}`)).filter(
      (entry) => entry !== undefined,
    ).length;
  };
  t.equal(fill(modest, 1024), 1024);
  t.equal(fill(greedy, 1300), 1300, "more than its own");
  t.ok(fill(greedy, 20_000) < 1700, "but not without end");
  t.equal(fill(modest, 1024), 1024, "the other has lost nothing");
  greedy.clear();
  t.equal(fill(modest, 1300), 1300, "and gets what was given back");
  modest.clear();
  t.ok(room.take(200_000));
  t.end();
});
