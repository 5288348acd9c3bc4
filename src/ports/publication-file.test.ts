// The file of an older pontoon, which the store takes over.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { EmbeddedStore } from "../store/embedded-store.js";
import type { DamagedFile } from "./publication-file.js";
import { PublicationStore } from "./publication-store.js";
import type { PublishedPort } from "./published-port.js";

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

interface Scratch {
  readonly folder: string;
  readonly file: string;
  readonly damages: DamagedFile[];
  readonly untaken: unknown[];
  /** What a daemon that starts now has. */
  readonly start: () => PublicationStore;
}

function scratch(t: Test): Scratch {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  const damages: DamagedFile[] = [];
  const untaken: unknown[] = [];
  let running: EmbeddedStore | undefined;
  t.teardown(() => {
    void running?.close();
    rmSync(folder, { recursive: true });
  });
  const start = () => {
    void running?.close();
    running = new EmbeddedStore(folder, () => t.fail());
    running.open();
    return new PublicationStore(running, folder, {
      onDamage: (damage) => damages.push(damage),
      onUnwritable: (error) => untaken.push(error),
    });
  };
  return { folder, file: join(folder, "publications.json"), damages, untaken, start };
}

const byPort = (one: PublishedPort, other: PublishedPort) => one.hostPort - other.hostPort;
const storeFiles = ["store.mdb", "store.mdb-lock"];

/** A file's text with one port that differs. */
const text = (change: object, ports: object[] = [{ ...web, ...change }]) => JSON.stringify({ version: 1, ports });

t.test("what an older pontoon remembered is taken over, once", (t) => {
  const { folder, file, start, damages, untaken } = scratch(t);
  const given = text({}, [web, { ...dns, byDefault: true }]);
  writeFileSync(file, given);
  writeFileSync(`${file}.tmp`, "half of a save");
  const first = start();
  t.same(first.load(), [web, { ...dns, byDefault: true }]);
  t.notOk(first.hasLost);
  t.same(readdirSync(folder).sort(), ["publications.json.migrated", ...storeFiles]);
  t.equal(readFileSync(`${file}.migrated`, "utf8"), given);
  first.save([web]);
  const second = start();
  t.same(second.load(), [web], "and not again");
  t.notOk(second.hasLost);
  t.same([damages, untaken], [[], []]);
  t.end();
});

t.test("a list of nothing is taken over, too", (t) => {
  const { folder, file, start } = scratch(t);
  writeFileSync(file, text({}, []));
  const first = start();
  t.same(first.load(), []);
  t.notOk(first.hasLost, "it was known that nothing is published");
  t.same(readdirSync(folder), ["publications.json.migrated"]);
  t.end();
});

t.test("what an older pontoon wrote after the store was made counts", (t) => {
  const { file, start } = scratch(t);
  const first = start();
  first.load();
  first.save([web, { ...web, hostPort: 9000 }]);
  writeFileSync(file, text({}, [dns, { ...web, container: "other" }]));
  t.same(start().load(), [dns, { ...web, container: "other" }]);
  t.same([...start().load()].sort(byPort), [dns, { ...web, container: "other" }]);
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
    const { file, start, damages } = scratch(t);
    writeFileSync(file, given);
    const store = start();
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
    const { folder, file, start, damages } = scratch(t);
    writeFileSync(file, given);
    const store = start();
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
    const next = start();
    t.same([...next.load()].sort(byPort), [...kept].sort(byPort), "and the rest is in the store");
    t.notOk(next.hasLost);
    t.equal(damages.length, 1);
    t.same(readdirSync(folder).sort(), ["publications.json.damaged", ...storeFiles]);
  }
  const { file, start, damages } = scratch(t);
  writeFileSync(file, lines(...Array<object>(1000).fill({ ...bad, container: "x".repeat(10_000) })));
  start().load();
  t.ok(JSON.stringify(damages).length < 2000, "not more is told than a log can hold");
  t.end();
});

t.test("damaged files are kept, but not without end", (t) => {
  const { folder, file, start, damages } = scratch(t);
  for (const given of ["one", "two", "three"]) {
    writeFileSync(file, given);
    start().load();
  }
  t.same(
    damages.map(({ keptAs }) => keptAs),
    ["", ".2", ".3"].map((number) => `${file}.damaged${number}`),
  );
  t.same(
    damages.map(({ keptAs }) => readFileSync(keptAs, "utf8")),
    ["one", "two", "three"],
  );
  for (let count = 4; count <= 20; count++) {
    writeFileSync(file, text({}, [web, { number: count }]));
    t.same(start().load(), [web]);
  }
  t.same(readdirSync(folder).filter((name) => name.includes("damaged")).length, 5);
  t.match(readFileSync(damages.at(-1)!.keptAs, "utf8"), '"number":20');
  t.end();
});

t.test("a file of a newer pontoon is left alone", (t) => {
  const { folder, file, start } = scratch(t);
  const given = '{"version":2,"publications":{}}';
  writeFileSync(file, given);
  t.throws(() => start().load(), {
    code: "STORE_UNREADABLE",
    subject: file,
    message: /newer pontoon \(version 2 of the file, this one knows 1\); install that one again, or move/,
  });
  t.equal(readFileSync(file, "utf8"), given);
  t.same(readdirSync(folder), ["publications.json"]);
  t.end();
});

t.test("what is in the way is told, and left alone", (t) => {
  const { folder, file, start } = scratch(t);
  mkdirSync(join(file, "of another"), { recursive: true });
  t.throws(() => start().load(), {
    code: "STORE_UNREADABLE",
    subject: file,
    message: /is not a regular file; move it away/,
  });
  t.same(readdirSync(folder), ["publications.json"]);
  t.same(readdirSync(file), ["of another"]);
  t.end();
});

t.test("a file that cannot be taken over stays, counts, and is taken over by the next save", (t) => {
  const { folder, file, start, untaken } = scratch(t);
  writeFileSync(file, text({}));
  const store = start();
  mkdirSync(join(folder, "store.mdb"));
  t.same(store.load(), [web]);
  t.match(untaken, { length: 1, 0: { code: "STORE_UNREADABLE" } });
  t.throws(() => store.save([web, dns]), { code: "STORE_UNREADABLE" });
  t.ok(existsSync(file));
  rmSync(join(folder, "store.mdb"), { recursive: true });
  store.save([web, dns]);
  t.notOk(existsSync(file));
  t.same([...start().load()].sort(byPort), [dns, web]);
  t.end();
});
