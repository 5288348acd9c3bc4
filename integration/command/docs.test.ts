import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { parseConfig } from "../../src/config.js";
import { programFolders, repositoryRoot } from "../lab/root.js";

const read = (file: string) => readFileSync(join(repositoryRoot, file), "utf8");

function sources(folder: string): string[] {
  return readdirSync(join(repositoryRoot, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
    .map((name) => read(join(folder, name)));
}

const documents = [
  "README.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  "bench/README.md",
  ...readdirSync(join(repositoryRoot, "docs")).map((name) => `docs/${name}`),
];

t.test("the example configuration is valid, and shows every key with its default", (t) => {
  const example = /```yaml\n([\s\S]*?)```/.exec(read("docs/configuration.md"))![1]!;
  const parsed = parseConfig(example, "docs/configuration.md");
  t.same(
    { ...parsed, docker: undefined, ip: undefined },
    { ...parseConfig("", "empty"), docker: undefined, ip: undefined },
  );
  t.end();
});

t.test("every error code is explained, and no other", (t) => {
  const used = new Set(
    programFolders
      .flatMap(sources)
      .flatMap((text) =>
        [...text.matchAll(/PontoonError\(\s*"([A-Z_]+)"|code(?: =|:) "([A-Z_]+)"|\?\? "(INTERNAL)"/g)].map(
          (match) => match[1] ?? match[2] ?? match[3]!,
        ),
      ),
  );
  const explained = [...read("docs/errors.md").matchAll(/^\| `([A-Z_]+)`/gm)].map((match) => match[1]!);
  t.same(explained, [...used].sort());
  t.end();
});

t.test("each word of the glossary is there once, and what carries it in code is exported", (t) => {
  const rows = [...read("docs/glossary.md").matchAll(/^\| \*\*(.+?)\*\*.*\|(.*)\|$/gm)];
  const words = rows.map(([, word]) => word!);
  t.same(words, [...new Set(words)]);
  const names = rows.flatMap(([, , names]) => [...names!.matchAll(/`(\w+)`/g)].map(([, name]) => name!));
  t.ok(words.length > 0 && names.length > 0);
  const exported = new Set(
    [
      ...programFolders
        .flatMap(sources)
        .join("\n")
        .matchAll(/^export (?:abstract |async )?\w+ (\w+)/gm),
    ].map(([, name]) => name),
  );
  t.same(
    names.filter((name) => !exported.has(name)),
    [],
    "listed, but not exported any more",
  );
  t.end();
});

t.test("every link between documents leads to a document, and to a heading in it", (t) => {
  for (const document of documents)
    for (const [, file, heading] of read(document).matchAll(/\]\(([^)#:]*)(?:#([^)]*))?\)/g)) {
      const target = file === "" ? document : join(document, "..", file!);
      t.doesNotThrow(() => read(target), `${document} → ${file}`);
      if (heading !== undefined) t.ok(anchorsOf(read(target)).includes(heading), `${document} → ${file}#${heading}`);
    }
  t.end();
});

/** What headings are called in links, as GitHub makes them. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, "")
      .replaceAll(" ", "-"),
  );
}

t.test("every document that the sources name is there", (t) => {
  const texts = programFolders.flatMap(sources).join("\n");
  const named = new Set([...texts.matchAll(/\b([\w./-]+\.md)\b/g)].map(([, document]) => document!));
  t.ok(named.size > 0);
  for (const document of named) t.doesNotThrow(() => read(document), document);
  t.end();
});

t.test("every source that a document names is there", (t) => {
  const files = [...programFolders, "integration", "bench"].flatMap((folder) =>
    readdirSync(join(repositoryRoot, folder), { recursive: true, encoding: "utf8" }).map(
      (name) => `/${folder}/${name}`,
    ),
  );
  for (const document of documents) {
    const named = [...read(document).matchAll(/`([\w./-]+\.(?:ts|c))`/g)].map(([, file]) => file!);
    t.same(
      named.filter((name) => !files.some((file) => file.endsWith(`/${name}`))),
      [],
      document,
    );
  }
  t.end();
});

t.test("the rooms are told as lint has them", async (t) => {
  const { roomsAsText } = (await import(join(repositoryRoot, "tools", "rooms.mjs"))) as { roomsAsText: () => string[] };
  const [, told] = /<!-- rooms:.*?-->\n([\s\S]*)<!-- end of rooms -->/.exec(read("docs/architecture.md"))!;
  const lines = told!.trim().replaceAll(/\n +/g, " ").split("\n");
  t.same(lines, roomsAsText());
});
