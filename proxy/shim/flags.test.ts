import t from "tap";
import { parseAddress, parseFlags } from "./flags.js";

const flagsOf = (...args: string[]) => {
  const parsed = parseFlags(args);
  if (parsed.kind !== "flags") throw new Error(parsed.problem);
  return parsed.flags;
};
const problemOf = (...args: string[]) => {
  const parsed = parseFlags(args);
  return parsed.kind === "usage" ? parsed.problem.trim() : undefined;
};

t.test("flags come with one dash or two, apart from their value or not", (t) => {
  const words = ["-proto", "udp", "--host-ip=::1", "-host-port", "0x1F90", "--container-port", "010", "-use-listen-fd"];
  t.match(flagsOf(...words), {
    proto: "udp",
    "host-ip": "::1",
    "host-port": 8080n,
    "container-port": 8n,
    "use-listen-fd": true,
    "container-ip": "0.0.0.0",
  });
  t.equal(flagsOf("-use-listen-fd=F")["use-listen-fd"], false);
  t.equal(flagsOf("-host-ip=")["host-ip"], "", "an empty value");
  t.equal(flagsOf("-host-ip", "-v")["host-ip"], "-v", "the next word is the value, whatever it is");
  t.equal(flagsOf("-host-port", "1_000")["host-port"], 1000n);
  t.equal(flagsOf("-host-port", "-5")["host-port"], -5n);
  t.equal(flagsOf("-proto", "udp", "-proto=tcp").proto, "tcp", "the last one counts");
  for (const end of ["--", "-", "word"]) t.equal(flagsOf(end, "-no-such").proto, "tcp", `nothing is read after ${end}`);
  t.end();
});

t.test("wrong usage is told in Go's words", (t) => {
  t.equal(problemOf("-x=1"), "flag provided but not defined: -x");
  t.equal(problemOf("-=1"), "bad flag syntax: -=1");
  t.equal(problemOf("-host-port"), "flag needs an argument: -host-port");
  t.equal(problemOf("-host-port="), 'invalid value "" for flag -host-port: parse error');
  t.equal(problemOf("-host-port=08"), 'invalid value "08" for flag -host-port: parse error');
  t.equal(
    problemOf("-host-port=9223372036854775808"),
    'invalid value "9223372036854775808" for flag -host-port: value out of range',
  );
  t.equal(problemOf("-v=maybe"), 'invalid boolean value "maybe" for -v: parse error');
  t.match(parseFlags(["-h"]), { kind: "usage", problem: "", exitCode: 0 });
  t.end();
});

t.test("addresses", (t) => {
  t.same(["", "10.0.0.1", "::ffff:10.0.0.1", "::1"].map(parseAddress), ["0.0.0.0", "10.0.0.1", "10.0.0.1", "::1"]);
  t.same(["localhost", "10.0.0", "fe80::1%eth0", "::ffff:x"].map(parseAddress), [
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
  t.end();
});
