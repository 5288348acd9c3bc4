import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { findPlugin, placesInWords } from "./places.js";

function folders(t: Test) {
  const root = mkdtempSync(join(tmpdir(), "places-"));
  t.teardown(() => rmSync(root, { recursive: true }));
  const places = { sockets: join(root, "run"), specs: [join(root, "etc"), join(root, "lib")] };
  for (const folder of [places.sockets, ...places.specs]) mkdirSync(folder);
  const put = (file: string, text: string) => writeFileSync(join(root, file), text);
  return { root, places, put, find: (name: string) => findPlugin(name, places) };
}

async function listen(t: Test, path: string): Promise<void> {
  const server = createServer().listen(path);
  await once(server, "listening");
  t.teardown(() => server.close());
}

t.test("sockets come before files, and one folder before the other", async (t) => {
  const { root, places, put, find } = folders(t);
  t.equal(find("net"), undefined);
  put("lib/net.json", '{"Name":"net","Addr":"http://[::1]:81","TLSConfig":{"InsecureSkipVerify":false,"CAFile":""}}');
  t.same(find("net"), { kind: "tcp", host: "::1", port: 81 });
  put("lib/net.spec", "tcp://plugins.example:80\n");
  t.same(find("net"), { kind: "tcp", host: "plugins.example", port: 80 });
  mkdirSync(join(root, "etc/net"));
  put("etc/net/net.spec", " unix:///srv/net.sock ");
  t.same(find("net"), { kind: "unix", path: "/srv/net.sock" });
  mkdirSync(join(root, "run/net"));
  await listen(t, join(root, "run/net/net.sock"));
  t.same(find("net"), { kind: "unix", path: join(root, "run/net/net.sock") });
  symlinkSync("net/net.sock", join(root, "run/net.sock"));
  t.same(find("net"), { kind: "unix", path: join(root, "run/net.sock") }, "a link to one is one");
  t.equal(placesInWords(places), [places.sockets, ...places.specs].join(", "));
});

t.test("what is no socket and no name of a plugin is not found", (t) => {
  const { put, find } = folders(t);
  put("run/net.sock", "");
  put("etc/other.spec", "tcp://127.0.0.1:80");
  t.equal(find("net"), undefined, "a file");
  for (const name of ["../etc/other", "", ".", "a/b", "vieux/sshfs:latest", "x".repeat(64)])
    t.equal(find(name), undefined, name);
  t.end();
});

t.test("a file that says nothing of use is refused by name", (t) => {
  const { put, find } = folders(t);
  for (const [file, text, reason] of [
    ["a.spec", "", /a\.spec says: it names no address such as/],
    ["a.spec", "tcp://127.0.0.1:99999", /names no address/],
    ["a.spec", "https://127.0.0.1:1", /names no address/],
    ["a.spec", "unix://relative", /names no address/],
    ["a.spec", `unix:///${"x".repeat(108)}`, /names no address/],
    ["a.spec", "x".repeat(70_000), /more than 65536 bytes/],
    ["b.json", "{", /b\.json says: it is not JSON/],
    ["b.json", "{}", /Addr: /],
    ["b.json", '{"Addr":"tcp://h:1","TLSConfig":{"CAFile":"/ca.pem"}}', /it asks for TLS/],
  ] as const) {
    put(`etc/${file}`, text);
    t.throws(() => find(file[0]!), { code: "PLUGIN_UNFIT", subject: file[0]!, message: reason }, text.slice(0, 40));
  }
  t.end();
});
