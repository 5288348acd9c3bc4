import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programFolders, repositoryRoot } from "./root.js";

/** A copy of the built repository that a test may change and remove, without the tests; packages are shared. */
export class Clone {
  private constructor(readonly root: string) {}

  /** Made below the machine's temporary folder, which test hosts see too. */
  static make(): Clone {
    const root = mkdtempSync(join(tmpdir(), "pontoon-clone-"));
    const files = ["bin", "packaging", "tools", "package.json", "package-lock.json", "tsconfig.build.json"];
    for (const name of [...files, ...programFolders, ...programFolders.map((folder) => join("dist", folder))])
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
