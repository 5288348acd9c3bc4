import { closeSync, mkdirSync, mkdtempSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { NamespaceFiles } from "./namespace-files.js";
import { openDescriptors } from "./testing/loop.js";

/** Files of one folder that stand for namespaces, as any file does, and which of them were told to be gone. */
class Bench {
  readonly folder = mkdtempSync(join(tmpdir(), "pontoon-test-"));
  readonly files = new NamespaceFiles();
  readonly gone: string[] = [];

  constructor(...names: string[]) {
    for (const name of names) this.make(name);
  }

  make(name: string): void {
    writeFileSync(join(this.folder, name), "");
  }

  watch(name: string, said = name): { close(): void } {
    const fd = openSync(join(this.folder, name), "r");
    try {
      return this.files.watch(join(this.folder, name), fd, () => this.gone.push(said));
    } finally {
      closeSync(fd);
    }
  }

  async until(count: number): Promise<string[]> {
    for (const giveUpAt = performance.now() + 20_000; this.gone.length < count && performance.now() < giveUpAt;)
      await new Promise((resolve) => setTimeout(resolve, 5));
    return this.gone.splice(0);
  }
}

t.test("who is gone or replaced is told once, to everybody who asked, and the others are not", async (t) => {
  const before = openDescriptors();
  const bench = new Bench("a", "b", "c", "d");
  t.teardown(() => rmSync(bench.folder, { recursive: true, force: true }));
  const watches = [bench.watch("a"), bench.watch("a", "a too"), bench.watch("b"), bench.watch("c"), bench.watch("d")];
  watches[3]!.close();
  rmSync(join(bench.folder, "c"));
  rmSync(join(bench.folder, "a"));
  t.same((await bench.until(2)).sort(), ["a", "a too"]);
  bench.make("e");
  renameSync(join(bench.folder, "e"), join(bench.folder, "b"));
  t.same(await bench.until(1), ["b"], "another has its name");
  bench.make("a");
  rmSync(join(bench.folder, "a"));
  rmSync(join(bench.folder, "d"));
  t.same(await bench.until(1), ["d"]);
  for (const watch of watches) watch.close();
  await new Promise((resolve) => setImmediate(resolve));
  bench.make("f");
  bench.watch("f").close();
  for (const giveUpAt = performance.now() + 20_000; openDescriptors() > before + 1 && performance.now() < giveUpAt;)
    await new Promise((resolve) => setTimeout(resolve, 5));
  t.ok(openDescriptors() <= before + 1, "libuv keeps one for all watches there will be");
});

t.test("what went before it was watched is told, and so is a whole folder's end", async (t) => {
  const bench = new Bench("a", "b");
  const fd = openSync(join(bench.folder, "a"), "r");
  rmSync(join(bench.folder, "a"));
  bench.files.watch(join(bench.folder, "a"), fd, () => bench.gone.push("a"));
  t.same(bench.gone, [], "never from inside");
  bench.watch("b");
  t.same(await bench.until(1), ["a"]);
  rmSync(bench.folder, { recursive: true });
  t.same(await bench.until(1), ["b"]);
  mkdirSync(bench.folder);
  bench.files.watch(join(bench.folder, "nowhere", "a"), fd, () => bench.gone.push("nowhere"));
  t.same(await bench.until(1), ["nowhere"], "a folder that cannot be watched");
  closeSync(fd);
  rmSync(bench.folder, { recursive: true });
});
