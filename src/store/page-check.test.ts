import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { blankStore } from "./blank-store.js";
import { EmbeddedStore } from "./embedded-store.js";
import { pageFault } from "./page-check.js";

const faultOf = (file: Buffer) => pageFault(file.length, (at, length) => file.subarray(at, at + length));

/** A store with two levels of pages, long records and free pages. */
function wellUsed(t: Test): { readonly folder: string; readonly file: Buffer } {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const store = new EmbeddedStore(folder, () => t.fail());
  store.open();
  for (let count = 0; count < 300; count++)
    store.write([
      { kind: "network", key: `n${count % 90}`, value: count % 5 === 0 ? undefined : "x".repeat((count * 37) % 6000) },
    ]);
  void store.close();
  return { folder, file: readFileSync(join(folder, "store.mdb")) };
}

t.test("what lmdb wrote is whole, and a part of it is not", (t) => {
  const { file } = wellUsed(t);
  t.equal(faultOf(file), undefined);
  t.equal(faultOf(blankStore(1 << 26)), undefined);
  t.equal(faultOf(Buffer.alloc(0)), "blank");
  for (let size = 1; size < file.length; size += 1021) t.match(faultOf(file.subarray(0, size)), { isNewer: false });
  t.end();
});

t.test("each page that is something else is noticed, or belongs to nothing", (t) => {
  const { file } = wellUsed(t);
  const pages = file.length / 4096;
  let noticed = 0;
  for (let page = 0; page < pages; page++) {
    const spoilt = Buffer.from(file);
    spoilt.fill(0xa5, page * 4096, (page + 1) * 4096);
    if (faultOf(spoilt) !== undefined) noticed++;
  }
  t.ok(noticed > 20 && noticed <= pages, `${noticed} of ${pages}`);
  t.end();
});

// In a process of its own: lmdb would end it.
t.test("what seems whole can be read and written, whatever was done to it", (t) => {
  const { folder } = wellUsed(t);
  const program = `
    import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
    import { EmbeddedStore } from ${JSON.stringify(new URL("./embedded-store.js", import.meta.url).href)};
    const folder = ${JSON.stringify(folder)}, good = readFileSync(folder + "/store.mdb"), pages = good.length / 4096;
    let state = 1, whole = 0, refused = 0;
    const random = (below) => Math.floor(((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32) * below);
    for (let round = 0; round < 250; round++) {
      const bytes = Buffer.from(good), page = random(pages) * 4096, count = 1 + random(4);
      const ways = [
        () => (bytes[random(bytes.length)] = random(256)),
        () => (bytes[page + random(64)] = random(256)),
        () => bytes.copy(bytes, page, random(pages) * 4096, random(pages) * 4096 + 4096),
        () => bytes.fill(0, page),
        () => bytes.fill(random(256), page, page + random(4096)),
      ];
      const way = ways[round % ways.length];
      for (let times = 0; times < count; times++) way();
      mkdirSync(folder + "/x", { mode: 0o700 });
      writeFileSync(folder + "/x/store.mdb", bytes);
      const store = new EmbeddedStore(folder + "/x", () => {});
      try {
        store.open();
        store.all("network");
        for (let times = 0; times < 30; times++)
          try {
            const value = random(3) > 0 ? "x".repeat(random(6000)) : undefined;
            store.write([{ kind: "network", key: "n" + random(90), value }]);
          } catch (error) {
            if (error.code !== "STORE_UNWRITABLE") throw error;
          }
        store.all("network");
        whole++;
      } catch (error) {
        if (error.code !== "STORE_UNREADABLE") throw error;
        refused++;
      }
      store.close();
      rmSync(folder + "/x", { recursive: true });
    }
    console.log(JSON.stringify([whole, refused]));`;
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], {
    encoding: "utf8",
  });
  t.same([status, signal], [0, null], stderr);
  const [whole, refused] = JSON.parse(stdout || "[0,0]") as [number, number];
  t.ok(whole > 20 && refused > 20, `${whole} whole, ${refused} refused`);
  t.end();
});
