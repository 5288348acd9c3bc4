import { cpSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestOwner } from "./docker-host.js";
import { programFolders, repositoryRoot } from "./root.js";

/** The folder of the server that an other build is about. */
type Server = "dns" | "proxy";

export const otherVersion = "99.0.0";

/** The program under test once more, as another version of it would be. @param broken whether its server ends as soon as it is started */
export function otherBuild(
  t: TestOwner,
  server: Server,
  { protocol, broken = false }: { protocol?: number; broken?: boolean } = {},
): string {
  const root = mkdtempSync(join(tmpdir(), "pontoon-build-"));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  for (const folder of ["bin", ...programFolders.map((name) => join("dist", name))])
    cpSync(join(repositoryRoot, folder), join(root, folder), { recursive: true });
  symlinkSync(join(repositoryRoot, "node_modules"), join(root, "node_modules"));
  change(
    join(repositoryRoot, "package.json"),
    join(root, "package.json"),
    /"version": ".*?"/,
    `"version": "${otherVersion}"`,
  );
  if (protocol !== undefined) changeProtocol(root, server, protocol);
  if (broken) writeFileSync(join(root, "dist", server, "main.js"), 'throw new Error("it is broken");\n');
  return root;
}

/** Has a build speak another version of the protocol between the daemon and one of its servers. */
export function changeProtocol(root: string, server: Server, protocol: number): void {
  const file = join(root, "dist", server, "protocol.js");
  change(file, file, /PROTOCOL = \d+/, `PROTOCOL = ${protocol}`);
}

function change(from: string, to: string, what: RegExp, by: string): void {
  const text = readFileSync(from, "utf8");
  if (!what.test(text)) throw new Error(`${from} has no ${what}`);
  writeFileSync(to, text.replace(what, by));
}
