import { InvalidArgumentError } from "commander";
import t, { type Test } from "tap";
import { addressOption, countOption, networkOption, secondsOption, someSecondsOption } from "./options.js";

function refused(t: Test, parse: (value: string) => unknown, values: readonly string[], message: RegExp): void {
  for (const value of values)
    t.throws(() => parse(value), { constructor: InvalidArgumentError, message }, JSON.stringify(value));
}

t.test("an address is given in its canonical form", (t) => {
  t.equal(addressOption("127.0.0.1"), "127.0.0.1");
  t.equal(addressOption("0:0::1"), "::1");
  refused(t, addressOption, ["", "localhost", "[::1]", "10.0.0.0/8", "fe80::1%lo"], /write an IP address/);
  t.end();
});

t.test("networks add up", (t) => {
  t.same(networkOption("fd00::/8", networkOption("10.0.0.0/8")), ["10.0.0.0/8", "fd00::/8"]);
  t.same(networkOption("192.0.2.1"), ["192.0.2.1"]);
  refused(t, networkOption, ["", "10.0.0.0/33", "lan", "10.0.0.0/8,fd00::/8"], /write a network such as/);
  t.end();
});

t.test("numbers and times are plain", (t) => {
  t.same(["0", "10000"].map(countOption), [0, 10_000]);
  refused(t, countOption, ["", "-1", "1.5", "1e3", "many", "99999999999999999999"], /whole number/);
  t.same(["0", "10", "0.5", "0.0004"].map(secondsOption), [0, 10_000, 500, 0]);
  refused(t, secondsOption, ["", "-1", "1e3", "5s", ".5", "1000001"], /write seconds/);
  t.equal(someSecondsOption("0.001"), 1);
  refused(t, someSecondsOption, ["0", "0.0004"], /more than 0/);
  t.end();
});
