import { networkInterfaces } from "node:os";
import t from "tap";
import { interfaceNumber } from "./interface-number.js";

t.test("interfaces have numbers, by name where they have a link-local address", (t) => {
  for (const [name, addresses = []] of Object.entries(networkInterfaces())) {
    const numbers = addresses.flatMap(({ scopeid }) => scopeid || []);
    t.equal(interfaceNumber(name), numbers[0], name);
  }
  t.equal(interfaceNumber("3"), 3, "a number is one");
  for (const name of ["", "nosuch0", "toString", "__proto__", "3eth"]) t.equal(interfaceNumber(name), undefined, name);
  t.end();
});
