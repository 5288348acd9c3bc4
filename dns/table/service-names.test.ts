import t from "tap";
import { portsOfService } from "./service-names.js";

t.test("a service name stands for its ports", (t) => {
  t.same(portsOfService("http"), [80]);
  t.same(portsOfService("postgresql"), [5432]);
  t.ok(portsOfService("http-alt").includes(8080));
  t.end();
});

t.test("any other word stands for none", (t) => {
  for (const word of ["", "nosuch", "HTTP", "constructor", "__proto__", "toString"])
    t.same(portsOfService(word), [], `"${word}"`);
  t.end();
});
