import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import typescript from "typescript";
import { programFolders, repositoryRoot } from "../lab/root.js";

/** What is built for users, as tsconfig.build.json has it; the fuzzer is for tests alone. */
const isBuilt = (file: string) =>
  file.endsWith(".ts") && !file.endsWith(".test.ts") && !/(^|\/)(testing|fuzz)\//.test(file);

const sources = programFolders.flatMap((folder) =>
  readdirSync(join(repositoryRoot, folder), { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter(isBuilt),
);

t.test("what programs import is installed for users, who get no packages for development", (t) => {
  const { dependencies } = JSON.parse(readFileSync(join(repositoryRoot, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
  };
  const missing = sources.flatMap((file) =>
    typescript
      .preProcessFile(readFileSync(join(repositoryRoot, file), "utf8"))
      .importedFiles.map(({ fileName }) => fileName)
      .filter((name) => !/^[./]|^node:/.test(name) && !Object.hasOwn(dependencies, packageOf(name)))
      .map((name) => `${file}: ${name}`),
  );
  t.ok(sources.length > 300, "there are some");
  t.same(missing, []);
  t.end();
});

function packageOf(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}
