import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pino } from "pino";
import t from "tap";
import { clusterMaker } from "./cluster-maker.js";
import { parseConfig } from "./config.js";

const log = pino({ level: "silent" });
const made = (etcd: object, more: object = {}) =>
  clusterMaker(parseConfig(JSON.stringify({ store: "etcd://[::1]:1", advertise: "::1", etcd, ...more }), "f"), log);

t.test("files that etcd is reached with are looked at before anything starts", (t) => {
  const folder = t.testdir();
  const [missing, text] = [join(folder, "missing"), join(folder, "text")];
  writeFileSync(text, "no certificate");
  t.throws(() => made({ ca: missing }), { code: "CONFIG_UNREADABLE", subject: missing, message: /^etcd\.ca: / });
  t.throws(() => made({ ca: text }), { code: "CONFIG_INVALID", subject: text, message: /^etcd\.ca: .*PEM/ });
  t.throws(() => made({ user: "pontoon", "password-file": missing }), { message: /^etcd\.password-file: / });
  t.throws(() => clusterMaker(parseConfig("store: here", "f"), log), { code: "STORE_URL_WRONG" });
  t.end();
});

t.test("a program that is to encrypt is looked for before anything starts", (t) => {
  const missing = join(t.testdir(), "wireguard-go");
  t.throws(() => made({}, { wireguard: { use: missing } }), { code: "WIREGUARD_MISSING", subject: missing });
  for (const use of ["kernel", "off"]) t.doesNotThrow(() => made({}, { wireguard: { use } }), use);
  t.end();
});
