import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { repositoryRoot } from "./root.js";

/** A copy of the built repository that a test may change and remove, without the tests; packages are shared. */
export class Clone {
  private constructor(readonly root: string) {}

  /** Made below the machine's temporary folder, which test hosts see too. */
  static make(): Clone {
    const root = mkdtempSync(join(tmpdir(), "pontoon-clone-"));
    for (const name of [
      "bin",
      "dns",
      "proxy",
      "src",
      "packaging",
      "tools",
      "package.json",
      "package-lock.json",
      "dist/common",
      "dist/linux",
      "dist/dns",
      "dist/proxy",
      "dist/src",
    ])
      cpSync(join(repositoryRoot, name), join(root, name), { recursive: true });
    symlinkSync(join(repositoryRoot, "node_modules"), join(root, "node_modules"));
    return new Clone(root);
  }

  /** Changes a file of it. */
  edit(file: string, change: (content: string) => string): void {
    const path = join(this.root, file);
    writeFileSync(path, change(readFileSync(path, "utf8")));
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
