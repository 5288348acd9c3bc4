import t from "tap";
import { localhostAnswer } from "./localhost.js";
import { keyOfText } from "../wire/name.js";
import { TYPE } from "../wire/query.js";

const ask = (name: string, type: number = TYPE.A) => localhostAnswer(keyOfText(name)!, type);
const dataOf = (name: string, type: number) =>
  ask(name, type)?.records.map((record) => [record.type, record.data.toString("hex")]);

t.test("localhost and every name under it is the loopback address", (t) => {
  for (const name of [
    "localhost",
    "LocalHost.",
    "a.localhost",
    "deep.er.localhost",
    "localhost.localhost",
    "xlocalhost.localhost",
  ]) {
    t.same(dataOf(name, TYPE.A), [[TYPE.A, "7f000001"]], name);
    t.same(dataOf(name, TYPE.AAAA), [[TYPE.AAAA, "00000000000000000000000000000001"]], name);
    for (const type of [TYPE.MX, TYPE.TXT, TYPE.ANY, TYPE.HTTPS])
      t.match(
        ask(name, type),
        { exists: true, records: { length: 0 }, source: { kind: "local" } },
        `${name} has nothing else`,
      );
  }
  t.end();
});

t.test("other names are not", (t) => {
  for (const name of ["localhost.example", "xlocalhost", "a.xlocalhost", "localhos", "host", "localhost.localdomain"])
    t.equal(ask(name), undefined, name);
  t.equal(localhostAnswer("", TYPE.A), undefined, "the root");
  t.equal(localhostAnswer("\x0bx\x09localhost", TYPE.A), undefined, "a label that ends in the bytes of the name");
  t.end();
});
