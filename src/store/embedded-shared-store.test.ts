import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { EmbeddedSharedStore } from "./embedded-shared-store.js";
import { EmbeddedStore } from "./embedded-store.js";
import { listen, sharedStoreSuite } from "./testing/shared-store-suite.js";

function storeFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

function open(t: Test, folder: string): { readonly store: EmbeddedStore; readonly shared: EmbeddedSharedStore } {
  const store = new EmbeddedStore(folder, (record) => t.fail("damage", { record }));
  store.open();
  t.teardown(() => store.close());
  return { store, shared: new EmbeddedSharedStore(store) };
}

void t.test("as any shared store", (t) => {
  sharedStoreSuite(t, (t) => {
    const { shared } = open(t, storeFolder(t));
    return () => Promise.resolve(shared);
  });
  t.end();
});

void t.test("the next process finds the records, and no presence", async (t) => {
  const folder = storeFolder(t);
  const first = open(t, folder);
  const presence = { onHeld: () => undefined, onLost: () => undefined };
  first.shared.keepPresent({ key: "hosts/one", value: 1 }, 5, presence);
  const { revision } = await first.shared.commit({ requires: [], changes: [{ key: "networks/a", value: [1] }] });
  const last = await first.shared.commit({ requires: [], changes: [{ key: "networks/b", value: undefined }] });
  t.equal(last.revision, revision, "nothing changed");
  await first.store.close();

  const { shared } = open(t, folder);
  const found = await shared.read("");
  t.same([...found.records.values()], [{ key: "networks/a", value: [1], revision }]);
  t.equal(found.revision, revision);
  const removed = await shared.commit({ requires: [], changes: [{ key: "networks/a", value: undefined }] });
  t.equal(removed.revision, revision + 1);
});

void t.test("who begins too early, or where the store never was, has to read again", async (t) => {
  const folder = storeFolder(t);
  const first = open(t, folder);
  const before = await first.shared.read("");
  await first.shared.commit({ requires: [], changes: [{ key: "a", value: 1 }] });
  await first.store.close();
  const { shared } = open(t, folder);
  const early = listen(shared, "", before.revision);
  const late = listen(shared, "", before.revision + 2);
  await Promise.resolve();
  t.match(early.lost, { length: 1, 0: { code: "STORE_COMPACTED" } });
  t.match(late.lost, { length: 1, 0: { code: "STORE_REPLACED" } });
  t.same([early.news, late.news], [[], []]);
});

void t.test("what cannot be written is not so", async (t) => {
  const { store, shared } = open(t, storeFolder(t));
  await shared.commit({ requires: [], changes: [{ key: "a", value: 1 }] });
  const before = await shared.read("");
  store.write = () => {
    throw new Error("no room");
  };
  await t.rejects(shared.commit({ requires: [], changes: [{ key: "a", value: 2 }] }), /no room/);
  t.same(await shared.read(""), before);
});
