import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import type { PublishedPort } from "./published-port.js";
import { PublicationStore, type DamagedFile } from "./store.js";

const web: PublishedPort = {
  container: "web",
  transport: "tcp",
  ip: "0.0.0.0",
  hostPort: 8080,
  containerPort: 80,
  options: {},
  source: "command",
};
const dns: PublishedPort = {
  container: "dns",
  transport: "udp",
  ip: "::",
  hostPort: 53,
  containerPort: 5353,
  source: "label",
  options: {
    connectTimeoutMs: 1.5,
    maxConnections: 0,
    allowFrom: ["10.0.0.0/8"],
    udpIdleMs: 1000,
    udpFlows: 16,
    drainMs: 0,
  },
};

function scratch(t: { teardown(work: () => unknown): void }): {
  folder: string;
  file: string;
  damages: DamagedFile[];
  store: PublicationStore;
} {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const damages: DamagedFile[] = [];
  return {
    folder,
    file: join(folder, "publications.json"),
    damages,
    store: new PublicationStore(folder, (damage) => damages.push(damage)),
  };
}

/** A file's text with one port that differs. */
const text = (change: object, ports: object[] = [{ ...web, ...change }]) => JSON.stringify({ version: 1, ports });

t.test("what was saved is loaded again, and nothing else is left behind", (t) => {
  const { folder, file, store, damages } = scratch(t);
  t.same(store.load(), [], "a missing file");
  for (const ports of [[web, dns], [{ ...web, byDefault: true as const }], [dns], []]) {
    store.save(ports);
    t.same(store.load(), ports);
    t.same(readdirSync(folder), ["publications.json"]);
  }
  store.save([web]);
  t.same(JSON.parse(readFileSync(file, "utf8")), { version: 1, ports: [web] });
  t.same(damages, []);
  t.end();
});

t.test("only root may look at it", (t) => {
  const { folder, store: outer } = scratch(t);
  outer.save([]);
  const inner = join(folder, "a", "b");
  const store = new PublicationStore(inner, () => t.fail());
  t.same(store.load(), [], "the folder is missing");
  t.throws(() => statSync(inner), "and not made to look");
  store.save([web]);
  const mode = (path: string) => statSync(path).mode & 0o777;
  t.equal(mode(inner), 0o700);
  t.equal(mode(join(inner, "publications.json")), 0o600);
  chmodSync(inner, 0o755);
  store.save([web]);
  t.equal(mode(inner), 0o755, "a folder that was there is left as it is");
  t.end();
});

t.test("a rest of a save that was cut off is not in the way", (t) => {
  const { folder, file, store } = scratch(t);
  writeFileSync(`${file}.tmp`, "half of", { mode: 0o644 });
  t.same(store.load(), []);
  store.save([web]);
  t.same(readdirSync(folder), ["publications.json"]);
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.end();
});

t.test("a damaged file is put aside, and told", (t) => {
  const cases: [text: string, reason: RegExp][] = [
    ["", /^not JSON$/],
    [text({}).slice(0, -5), /^not JSON$/],
    ["null", /^the file: /],
    ["[]", /^the file: /],
    ["{}", /^version: .*; ports: /],
    ['{"version":0,"ports":[]}', /^version: /],
    ['{"version":"2","ports":[]}', /^version: /],
    ['{"version":1,"ports":{}}', /^ports: /],
    ['{"version":1,"ports":[],"more":1}', /^the file: .*more/],
    [
      text({}, [
        { ...web, byDefault: false },
        { ...web, hostPort: 0 },
      ]),
      /^ports\.0\.byDefault: .*ports\.1\.hostPort: /,
    ],
    [text({ container: "" }), /^ports\.0\.container: /],
    [text({ transport: "sctp" }), /^ports\.0\.transport: /],
    [text({ ip: "localhost" }), /^ports\.0\.ip: is not an address/],
    [text({ ip: "fe80::1%lo" }), /^ports\.0\.ip: /],
    [text({ hostPort: "80" }), /^ports\.0\.hostPort: /],
    [text({ containerPort: 65_536 }), /^ports\.0\.containerPort: /],
    [text({ containerPort: 1.5 }), /^ports\.0\.containerPort: /],
    [text({ options: undefined }), /^ports\.0\.options: /],
    [text({ options: { drainMs: -1 } }), /^ports\.0\.options\.drainMs: /],
    [text({ options: { udpFlows: 0 } }), /^ports\.0\.options\.udpFlows: /],
    [text({ options: { allowFrom: "10.0.0.0/8" } }), /^ports\.0\.options\.allowFrom: /],
    [text({ options: { nosuch: 1 } }), /^ports\.0\.options: .*nosuch/],
    [text({ source: "docker" }), /^ports\.0\.source: /],
    [
      text({}, Array<object>(100).fill({ ...web, ip: "" })),
      /^ports\.0\.ip: [^;]*; ports\.1\.ip: [^;]*; ports\.2\.ip: [^;]*; 97 more$/,
    ],
    [text({ more: 1 }), /^ports\.0: .*more/],
  ];
  for (const [given, reason] of cases) {
    const { file, store, damages } = scratch(t);
    writeFileSync(file, given);
    t.same(store.load(), [], given);
    t.match(damages, { length: 1, 0: { keptAs: `${file}.damaged`, reason, kept: 0 } }, given);
    t.ok(store.hasLost);
    t.notMatch(damages[0]!.reason, /\n/, "on one line");
    t.equal(readFileSync(`${file}.damaged`, "utf8"), given);
  }
  t.end();
});

t.test("of a damaged file what makes sense is kept, and the rest is named", (t) => {
  const bad = { ...web, hostPort: 0 };
  const lines = (...ports: object[]) =>
    `{\n  "version": 1,\n  "ports": [\n${ports.map((port) => `    ${JSON.stringify(port)}`).join(",\n")}\n  ]\n}\n`;
  const cases: [text: string, kept: PublishedPort[], dropped: object[]][] = [
    [lines(web, bad, dns), [web, dns], [bad]],
    [lines(bad, web, null as never, "x" as never, dns), [web, dns], [bad, null as never, "x" as never]],
    [lines(web, { ...dns, more: 1 }), [web], [{ ...dns, more: 1 }]],
    [JSON.stringify({ version: 1, ports: [web, dns], more: 1 }), [web, dns], []],
    [JSON.stringify({ version: "?", ports: [web, dns] }), [web, dns], []],
    [lines(web, dns).slice(0, -20), [web], []], // cut off in the middle of dns
    [`garbage${lines(web, dns)}`, [web, dns], []],
    [lines(web, bad, dns).slice(0, -5), [web, dns], [bad]],
  ];
  for (const [given, kept, dropped] of cases) {
    const { folder, file, store, damages } = scratch(t);
    writeFileSync(file, given);
    t.same(store.load(), kept, given);
    t.ok(store.hasLost);
    t.match(damages, {
      length: 1,
      0: {
        keptAs: `${file}.damaged`,
        kept: kept.length,
        dropped: dropped.map((entry) => JSON.stringify(entry).slice(0, 200)),
      },
    });
    t.equal(readFileSync(`${file}.damaged`, "utf8"), given, "the file is kept aside");
    t.same(store.load(), kept, "and mended");
    t.notOk(store.hasLost);
    t.equal(damages.length, 1);
    t.same(readdirSync(folder).sort(), ["publications.json", "publications.json.damaged"]);
  }
  const { file, store, damages } = scratch(t);
  writeFileSync(file, lines(...Array<object>(1000).fill({ ...bad, container: "x".repeat(10_000) })));
  store.load();
  t.ok(JSON.stringify(damages).length < 2000, "not more is told than a log can hold");
  t.end();
});

t.test("damaged files are kept, but not without end", (t) => {
  const { folder, file, store, damages } = scratch(t);
  t.same(store.load(), []);
  t.ok(store.hasLost, "whether a missing one is lost nobody knows");
  for (const given of ["one", "two", "three"]) {
    writeFileSync(file, given);
    store.load();
  }
  t.same(
    damages.map(({ keptAs }) => keptAs),
    ["", ".2", ".3"].map((number) => `${file}.damaged${number}`),
  );
  t.same(
    damages.map(({ keptAs }) => readFileSync(keptAs, "utf8")),
    ["one", "two", "three"],
  );
  store.save([web]);
  t.same(readdirSync(folder).length, 4);
  for (let count = 4; count <= 20; count++) {
    writeFileSync(file, text({}, [web, { number: count }]));
    t.same(store.load(), [web]);
  }
  t.same(readdirSync(folder).length, 6);
  t.match(readFileSync(damages.at(-1)!.keptAs, "utf8"), '"number":20');
  t.end();
});

t.test("a file of a newer pontoon is left alone", (t) => {
  const { folder, file, store } = scratch(t);
  const given = '{"version":2,"publications":{}}';
  writeFileSync(file, given);
  t.throws(() => store.load(), {
    code: "STORE_UNREADABLE",
    subject: file,
    message: /newer pontoon \(version 2 of the file, this one knows 1\); install that one again, or move/,
  });
  t.equal(readFileSync(file, "utf8"), given);
  t.same(readdirSync(folder), ["publications.json"]);
  t.end();
});

t.test("what is in the way is told, and left alone", (t) => {
  const { folder, file, store } = scratch(t);
  mkdirSync(join(file, "of another"), { recursive: true });
  t.throws(() => store.load(), {
    code: "STORE_UNREADABLE",
    subject: file,
    message: /is not a regular file; move it away/,
  });
  t.throws(() => store.save([web]), {
    code: "STORE_UNWRITABLE",
    subject: file,
    message: /cannot be written \((EISDIR|ENOTEMPTY)\).*--state-dir/,
  });
  t.same(readdirSync(folder), ["publications.json"], "no temporary file stays");
  t.same(readdirSync(file), ["of another"]);

  const inFile = new PublicationStore(join(scratchFile(t), "state"), () => t.fail());
  t.throws(() => inFile.load(), { code: "STATE_DIR_UNFIT", message: /is not a folder/ });
  t.throws(() => inFile.save([web]), { code: "STATE_DIR_UNFIT", message: /is not a folder/ });
  t.end();
});

t.test("a save that cannot begin leaves the last one", (t) => {
  const { file, store } = scratch(t);
  store.save([web]);
  mkdirSync(`${file}.tmp`);
  t.throws(() => store.save([dns]), { code: "STORE_UNWRITABLE" });
  t.same(store.load(), [web]);
  t.end();
});

// Small file systems of their own, which end with the process that mounted them.
const mounts =
  spawnSync("unshare", ["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", tmpdir()]).status === 0;
const noMounts = mounts && process.getuid?.() === 0 ? false : "may not mount, or not as the owner of /";

/** What happens on a file system of 16 KiB, after `script` was run there. */
function onSmallDisk(folder: string, script: string): string[] {
  const program = `
    import { readdirSync, readFileSync, writeFileSync } from "node:fs";
    import { execFileSync } from "node:child_process";
    import { PublicationStore } from ${JSON.stringify(new URL("./store.js", import.meta.url).href)};
    const folder = ${JSON.stringify(folder)}, file = folder + "/publications.json", web = ${JSON.stringify(web)};
    const store = new PublicationStore(folder, (damage) => console.log("damage " + JSON.stringify(damage)));
    const attempt = (work) => { try { console.log(JSON.stringify(work())); } catch (error) { console.log(error.code + " " + error.message); } };
    const remount = (how) => execFileSync("mount", ["-o", "remount," + how, folder]);
    ${script}`;
  const shell = 'mount -t tmpfs -o size=16k,mode=700 none "$0" && exec "$1" --input-type=module --eval "$2"';
  const { stdout, stderr } = spawnSync(
    "unshare",
    ["--user", "--map-root-user", "--mount", "sh", "-c", shell, folder, process.execPath, program],
    { encoding: "utf8" },
  );
  return (stdout + stderr).trim().split("\n");
}

t.test("a full disk leaves the last save", { skip: noMounts }, (t) => {
  const { folder } = scratch(t);
  const lines = onSmallDisk(
    folder,
    "store.save([web]); attempt(() => store.save(Array(500).fill(web))); attempt(() => [store.load().length, readdirSync(folder)]);",
  );
  t.match(lines[0], /^STORE_UNWRITABLE .*\(ENOSPC\).*make room/);
  t.same(lines.slice(1), ['[1,["publications.json"]]']);
  t.end();
});

t.test("so does a disk that may only be read, where a damaged file stays in its place", { skip: noMounts }, (t) => {
  const { folder } = scratch(t);
  const lines = onSmallDisk(
    folder,
    `
    store.save([web]);
    remount("ro");
    attempt(() => store.save([]));
    attempt(() => store.load().length);
    remount("rw");
    writeFileSync(file, "x");
    remount("ro");
    attempt(() => store.load());
    attempt(() => readFileSync(file, "utf8"));`,
  );
  t.match(lines[0], /^STORE_UNWRITABLE .*\(EROFS\).*permit writing/);
  t.equal(lines[1], "1");
  t.match(lines[2], /^STORE_UNREADABLE .*is damaged \(not JSON\) and cannot be put aside \(EROFS\); move it away$/);
  t.same(lines.slice(3), ['"x"']);
  t.end();
});

/** A file where a folder is expected. */
function scratchFile(t: { teardown(work: () => unknown): void }): string {
  const path = join(scratch(t).folder, "file");
  writeFileSync(path, "");
  return path;
}
