import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { EmbeddedStore } from "../store/embedded-store.js";
import type { Change, DamagedRecord } from "../store/store.js";
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
const dns: PublishedPort = { ...web, transport: "udp", ip: "::", hostPort: 53, source: "label", byDefault: true };
const webKey = "tcp 0.0.0.0 8080";

interface Scratch {
  readonly folder: string;
  readonly damages: DamagedRecord[];
  /** What a daemon that starts now has. */
  readonly start: () => { readonly store: EmbeddedStore; readonly publications: PublicationStore };
}

function scratch(t: Test): Scratch {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  const damages: DamagedRecord[] = [];
  let running: EmbeddedStore | undefined;
  t.teardown(() => {
    void running?.close();
    rmSync(folder, { recursive: true });
  });
  const start = () => {
    void running?.close();
    running = new EmbeddedStore(folder, (record) => damages.push(record));
    running.open();
    const publications = new PublicationStore(running, folder, {
      onDamage: () => t.fail(),
      onUnwritable: () => t.fail(),
    });
    return { store: running, publications };
  };
  return { folder, damages, start };
}

t.test("what was saved is loaded again", (t) => {
  const { start, damages } = scratch(t);
  const first = start().publications;
  t.same(first.load(), [], "nothing was ever saved");
  t.ok(first.hasLost, "whether it is lost nobody knows");
  for (const ports of [[web, dns], [dns], [{ ...dns, containerPort: 54 }], []]) {
    const { publications } = start();
    publications.load();
    publications.save(ports);
    const next = start().publications;
    t.same(
      [...next.load()].sort((one, other) => other.hostPort - one.hostPort),
      ports,
    );
    t.notOk(next.hasLost);
  }
  t.same(damages, []);
  t.end();
});

t.test("only what has changed is written", (t) => {
  const written: Change[][] = [];
  const store = {
    hasLost: false,
    all: () => new Map<string, unknown>([[webKey, web]]),
    write: (changes: readonly Change[]) => void written.push([...changes]),
    putAside: () => t.fail(),
    close: () => Promise.resolve(),
  };
  const publications = new PublicationStore(store, "/nowhere", {
    onDamage: () => t.fail(),
    onUnwritable: () => t.fail(),
  });
  publications.load();
  publications.save([web, dns]);
  publications.save([dns]);
  publications.save([dns]);
  const kind = "publication";
  t.same(written, [[{ kind, key: "udp :: 53", value: dns }], [{ kind, key: webKey, value: undefined }], []]);
  t.end();
});

t.test("a save that fails changes nothing, and the next one makes up for it", (t) => {
  const written: (readonly Change[])[] = [];
  let refuses = true;
  const store = {
    hasLost: false,
    all: () => new Map<string, unknown>(),
    write: (changes: readonly Change[]) => {
      if (refuses) throw new Error("no room");
      written.push(changes);
    },
    putAside: () => t.fail(),
    close: () => Promise.resolve(),
  };
  const publications = new PublicationStore(store, "/nowhere", {
    onDamage: () => t.fail(),
    onUnwritable: () => t.fail(),
  });
  t.throws(() => publications.save([web]), { message: "no room" });
  refuses = false;
  publications.save([web, dns]);
  t.same(
    written.map(({ length }) => length),
    [2],
  );
  t.end();
});

t.test("a record that makes no sense is put aside, and the others are kept", (t) => {
  const cases: [key: string, value: unknown, reason: RegExp][] = [
    [webKey, null, /^it: /],
    [webKey, "x", /^it: /],
    [webKey, { ...web, hostPort: 0 }, /^hostPort: /],
    [webKey, { ...web, ip: "localhost" }, /^ip: is not an address/],
    [webKey, { ...web, transport: "sctp" }, /^transport: /],
    [webKey, { ...web, container: "" }, /^container: /],
    [webKey, { ...web, options: { nosuch: 1 } }, /^options: .*nosuch/],
    [webKey, { ...web, more: 1 }, /^it: .*more/],
    ["tcp 0.0.0.0 8081", web, /^is of another port$/],
  ];
  for (const [key, value, reason] of cases) {
    const { folder, start, damages } = scratch(t);
    const { store } = start();
    store.write([
      { kind: "publication", key, value },
      { kind: "publication", key: "udp :: 53", value: dns },
    ]);
    const { publications } = start();
    t.same(publications.load(), [dns], JSON.stringify(value));
    t.ok(publications.hasLost);
    t.match(damages, { length: 1, 0: { kind: "publication", key, reason } });
    t.match(damages[0]!.text, JSON.stringify(value));
    const next = start().publications;
    t.same(next.load(), [dns]);
    t.notOk(next.hasLost, "told once");
    t.equal(damages.length, 1);
    t.same(readdirSync(folder).sort(), ["store.mdb", "store.mdb-lock"]);
  }
  t.end();
});
