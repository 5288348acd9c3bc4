import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand } from "./command.js";
import type { TestOwner } from "./docker-host.js";
import { repositoryRoot } from "./root.js";

const source = join(repositoryRoot, "integration", "lab", "shift-clock.c");

/** Reason to skip what needs a {@link ShiftedClocks}; false where there can be one. */
export const withoutShiftedClock: string | false =
  process.arch === "x64" ? false : "clocks of programs in Go are set on x86-64 only";

/** Wall clocks of programs in Go, one for each name, see `shift-clock.c`. They go with the test. */
export class ShiftedClocks {
  private constructor(private readonly folder: string) {}

  static async make(owner: TestOwner): Promise<ShiftedClocks> {
    const clocks = new ShiftedClocks(mkdtempSync(join(tmpdir(), "clock-")));
    owner.teardown(() => {
      rmSync(clocks.folder, { recursive: true });
      return Promise.resolve();
    });
    await runCommand(["gcc", "-O2", "-o", clocks.#program, source]);
    return clocks;
  }

  get #program(): string {
    return join(this.folder, "shift-clock");
  }

  /** What has to stand in front of a command line. */
  inFront(name: string): readonly string[] {
    return [this.#program, join(this.folder, name)];
  }

  /** @param offset seconds, from the machine's time */
  set(name: string, offset: number): void {
    writeFileSync(join(this.folder, name), `${offset}\n`);
  }
}
