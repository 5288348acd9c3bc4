// What every shared store promises, as tests.
import type { Test } from "tap";
import { valueAtMost } from "../shared-limits.js";
import {
  changesAtMost,
  type Condition,
  type SharedNews,
  type SharedStore,
  type SharedTransaction,
} from "../shared-store.js";

/** Gives a store. All that one subtest is given have the same records, none at first, and may be one. */
export type MakeStore = (t: Test) => Promise<SharedStore>;

const create = (key: string, value: unknown): SharedTransaction => ({
  requires: [{ kind: "absent", key }],
  changes: [{ key, value }],
});

const put = (key: string, value: unknown): SharedTransaction => ({ requires: [], changes: [{ key, value }] });

/** @param makers gives a maker for one subtest */
export function sharedStoreSuite(t: Test, makers: (t: Test) => MakeStore | Promise<MakeStore>): void {
  void t.test("a record is there once it was committed, with the revision that it got", async (t) => {
    const store = await (await makers(t))(t);
    const before = await store.read("");
    t.equal(before.records.size, 0);
    const done = await store.commit(put("networks/a", { name: "a" }));
    t.equal(done.kind, "done");
    t.ok(done.revision > before.revision);
    const { revision, records } = await store.read("networks/");
    t.equal(revision, done.revision);
    t.same([...records], [["networks/a", { key: "networks/a", value: { name: "a" }, revision }]]);
    t.equal((await store.read("network/")).records.size, 0);
    await store.commit(put("networks/a", undefined));
    t.equal((await store.read("networks/")).records.size, 0);
  });

  void t.test("a transaction changes everything or nothing, and says which conditions failed", async (t) => {
    const store = await (await makers(t))(t);
    await store.commit(put("a/1", 1));
    const first = (await store.read("a/1")).records.get("a/1")!.revision;
    await store.commit(put("a/1", 2));
    const second = (await store.read("a/1")).records.get("a/1")!.revision;
    const holding: Condition[] = [
      { kind: "absent", key: "a/2" },
      { kind: "present", key: "a/1" },
      { kind: "unchanged", key: "a/1", revision: second },
      { kind: "none-below", prefix: "b/" },
    ];
    const failing: Condition[] = [
      { kind: "absent", key: "a/1" },
      { kind: "present", key: "a/2" },
      { kind: "unchanged", key: "a/1", revision: first },
      { kind: "unchanged", key: "a/2", revision: second },
      { kind: "none-below", prefix: "a/" },
    ];
    const changes = [
      { key: "c/1", value: 1 },
      { key: "a/1", value: undefined },
    ];
    for (const condition of failing) {
      const refused = await store.commit({ requires: [...holding, condition], changes });
      t.same(refused, { kind: "refused", revision: second, failed: [condition] });
    }
    const all = await store.commit({ requires: [...holding, ...failing], changes });
    t.same(all, { kind: "refused", revision: second, failed: failing });
    t.same([...(await store.read("")).records.keys()], ["a/1"]);
    const done = await store.commit({ requires: holding, changes });
    t.same(done, { kind: "done", revision: second + 1 });
    t.same([...(await store.read("")).records.keys()], ["c/1"]);
  });

  void t.test("of many that create the same records, each record is created once", async (t) => {
    const make = await makers(t);
    const stores = [await make(t), await make(t)];
    const keys = Array.from({ length: 100 }, (_, index) => `addresses/${index}`);
    const tries = stores.flatMap((store, who) =>
      keys.map(async (key) => ({ key, who, ...(await store.commit(create(key, who))) })),
    );
    const done = (await Promise.all(tries)).filter(({ kind }) => kind === "done");
    t.same(done.map(({ key }) => key).sort(), [...keys].sort());
    const { records } = await stores[0]!.read("addresses/");
    for (const { key, who, revision } of done) t.same(records.get(key), { key, value: who, revision });
    t.equal(new Set(done.map(({ revision }) => revision)).size, keys.length);
  });

  void t.test(
    "what changes below a prefix is told once and in order, all changes of a transaction together",
    async (t) => {
      const make = await makers(t);
      const [store, other] = [await make(t), await make(t)];
      await store.commit(put("a/0", "before"));
      const { revision } = await store.read("");
      await other.commit(put("a/1", 1)); // told, too, although it was before anybody followed
      const heard = listen(store, "a/", revision);
      const commits = Array.from({ length: 50 }, (_, index) => [
        other.commit({
          requires: [],
          changes: [
            { key: "a/1", value: index },
            { key: "b/1", value: index },
            { key: `a/x${index}`, value: index },
          ],
        }),
        store.commit(put("a/2", index)),
      ]);
      const done = (await Promise.all(commits.flat())).map((one) => one.revision);
      const last = await store.commit(put("a/1", undefined));
      await heard.upTo(last.revision);
      heard.stop();
      const revisions = heard.news.map((news) => news.revision);
      t.same(revisions, [revision + 1, ...done.sort((one, two) => one - two), last.revision]);
      for (const { changes } of heard.news) t.ok(changes.every(({ key }) => key.startsWith("a/")));
      t.equal(heard.news.filter(({ changes }) => changes.length === 2).length, 50);
      t.same(heard.news.at(-1), { revision: last.revision, changes: [{ key: "a/1", record: undefined }] });
      const { records } = await store.read("a/");
      t.same(
        replay(heard.news),
        new Map([...records].filter(([key]) => key !== "a/0").map(([key, { value }]) => [key, value])),
      );
      await store.commit(put("a/9", 9));
      t.equal(heard.news.length, revisions.length, "nothing is told to one that has stopped");
    },
  );

  void t.test("values and keys come back as they were", async (t) => {
    const store = await (await makers(t))(t);
    const values: Record<string, unknown> = {
      "k/quotes \"'\\": "\0\x01\x7f\u2028\ufeff 🛥 ß\n",
      "k/🛥/ß": [null, true, 0, -1.5e300, "", {}, [[]]],
      "k/%2F=&?#": { "": { "": null }, "a.b": "\ud83d" },
      "k//": null,
      [`k/${"x".repeat(510)}`]: "x".repeat(valueAtMost - 2),
    };
    for (const [key, value] of Object.entries(values)) await store.commit(create(key, value));
    const { records } = await store.read("k/");
    for (const [key, value] of Object.entries(values)) t.same(records.get(key)?.value, value);
    t.equal(records.size, Object.keys(values).length);
  });

  void t.test("many records are read as they were at one revision", async (t) => {
    const make = await makers(t);
    const [store, other] = [await make(t), await make(t)];
    const keys = Array.from({ length: 1_200 }, (_, index) => `many/${String(index).padStart(4, "0")}`);
    for (let from = 0; from < keys.length; from += changesAtMost)
      await store.commit({
        requires: [],
        changes: keys.slice(from, from + changesAtMost).map((key) => ({ key, value: 0 })),
      });
    const ends = [keys[0]!, keys.at(-1)!];
    let isOver = false;
    const writing = (async (): Promise<void> => {
      for (let value = 1; !isOver; value++)
        await other.commit({ requires: [], changes: ends.map((key) => ({ key, value })) });
    })();
    for (let round = 0; round < 5; round++) {
      const { records } = await store.read("many/");
      t.same([...records.keys()], keys);
      t.equal(records.get(ends[0]!)?.value, records.get(ends[1]!)?.value);
    }
    isOver = true;
    await writing;
  });

  void t.test("what no store takes is refused by every store", async (t) => {
    const store = await (await makers(t))(t);
    const many = Array.from({ length: changesAtMost + 1 }, (_, index) => ({ key: `a/${index}`, value: 1 }));
    await t.rejects(store.commit({ requires: [], changes: many }), RangeError);
    await t.rejects(
      store.commit({ requires: many.map(({ key }) => ({ kind: "absent", key })), changes: [] }),
      RangeError,
    );
    await t.rejects(store.commit({ requires: [], changes: [many[0]!, many[0]!] }), RangeError);
    await t.rejects(store.commit(put("", 1)), RangeError);
    await t.rejects(store.commit(put("a\0", 1)), RangeError);
    await t.rejects(store.commit(put("x".repeat(513), 1)), RangeError);
    await t.rejects(store.commit(put("a", "x".repeat(valueAtMost))), RangeError);
    await t.rejects(store.commit(put("a", () => 1)), TypeError);
    const large = many.slice(0, 5).map(({ key }) => ({ key, value: "x".repeat(valueAtMost - 2) }));
    await t.rejects(store.commit({ requires: [], changes: large }), RangeError);
    t.same((await store.read("")).records, new Map());
    const most = many.slice(1).map(({ key }) => ({ key, value: "x".repeat(8_000) }));
    const requires = most.map(({ key }): Condition => ({ kind: "absent", key }));
    t.equal((await store.commit({ requires, changes: most })).kind, "done");
    const refused = await store.commit({ requires, changes: [] });
    t.same(refused.kind === "refused" && refused.failed, requires);
  });

  void t.test("a record of presence is there until it is closed", async (t) => {
    const make = await makers(t);
    const [store, other] = [await make(t), await make(t)];
    const { revision } = await other.read("");
    const heard = listen(other, "hosts/", revision);
    const seen: string[] = [];
    let held: ((revision: number) => void) | undefined;
    const isHeld = new Promise<number>((resolve) => (held = resolve));
    const events = { onHeld: (at: number) => (seen.push("held"), held!(at)), onLost: () => void seen.push("lost") };
    const presence = store.keepPresent({ key: "hosts/one", value: { address: "192.0.2.1" } }, 5, events);
    const at = await isHeld;
    t.equal(presence.state.kind, "held");
    t.ok(presence.state.kind === "held" && presence.state.until > performance.now());
    const found = (await other.read("hosts/")).records;
    t.same([...found.values()], [{ key: "hosts/one", value: { address: "192.0.2.1" }, revision: at }]);
    await presence.close();
    await presence.close();
    t.equal((await other.read("hosts/")).records.size, 0);
    await heard.upTo(at + 1);
    t.same(
      heard.news.flatMap(({ changes }) => changes.map(({ record }) => record !== undefined)),
      [true, false],
    );
    heard.stop();
    t.same(seen, ["held"]);
  });

  void t.test("one that was closed does nothing more", async (t) => {
    const store = await (await makers(t))(t);
    const { revision } = await store.commit(put("a", 1));
    const heard = listen(store, "", revision - 1);
    await heard.upTo(revision);
    await store.close();
    await store.close();
    await t.rejects(store.commit(put("a", 2)), { code: "STORE_UNREACHABLE" });
    await t.rejects(store.read(""), { code: "STORE_UNREACHABLE" });
    t.equal(heard.news.length, 1);
    t.same(heard.lost, []);
  });
}

/** What a follower is told, without words that nothing was missed. */
export interface Heard {
  readonly news: readonly SharedNews[];
  readonly lost: readonly Error[];
  /** Resolves when a revision has been told; rejects with the reason why nothing more is. */
  upTo(revision: number): Promise<void>;
  stop(): void;
}

export function listen(store: SharedStore, prefix: string, after: number): Heard {
  const news: SharedNews[] = [];
  const lost: Error[] = [];
  let told = after;
  let look = (): void => undefined;
  let fail: (error: Error) => void = () => undefined;
  const stop = store.follow(prefix, after, {
    onNews: (one) => {
      told = one.revision;
      if (one.changes.length > 0) news.push(one);
      look();
    },
    onLost: (error) => {
      lost.push(error);
      fail(error);
    },
  });
  const upTo = (revision: number): Promise<void> =>
    new Promise((resolve, reject) => {
      look = () => void (told >= revision && resolve());
      fail = reject;
      if (lost[0]) reject(lost[0]);
      look();
    });
  return { news, lost, stop, upTo };
}

/** The values that are left when everything told has been done. */
export function replay(news: readonly SharedNews[]): Map<string, unknown> {
  const values = new Map<string, unknown>();
  for (const { changes } of news)
    for (const { key, record } of changes)
      if (record) values.set(key, record.value);
      else values.delete(key);
  return values;
}
