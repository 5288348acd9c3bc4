import fc from "fast-check";
import t from "tap";
import { PontoonError } from "../../common/errors.js";
import {
  mappingsOf,
  matcherOf,
  parsePortSpec,
  portLabel,
  type BoundPort,
  type PortRange,
  type PortSpec,
} from "./spec.js";

const one = (port: number): PortRange => ({ first: port, last: port });
const ports = (first: number, last: number): PortRange => ({ first, last });
const spec = (
  ip: string | undefined,
  host: PortRange | undefined,
  container: PortRange,
  transport: PortSpec["transport"] = "tcp",
): PortSpec => ({ ip, host, container, transport });

t.test("everything Docker's -p takes is taken, and means the same", (t) => {
  const cases: [text: string, meant: PortSpec][] = [
    ["80", spec(undefined, undefined, one(80))],
    ["0080", spec(undefined, undefined, one(80))],
    ["80-90", spec(undefined, undefined, ports(80, 90))],
    ["8080:80", spec(undefined, one(8080), one(80))],
    ["0:80", spec(undefined, undefined, one(80))],
    ["0-0:80", spec(undefined, undefined, one(80))],
    [":80", spec(undefined, undefined, one(80))],
    ["::80", spec(undefined, undefined, one(80))],
    [":8080:80", spec(undefined, one(8080), one(80))],
    ["127.0.0.1:8080:80", spec("127.0.0.1", one(8080), one(80))],
    ["127.0.0.1::80", spec("127.0.0.1", undefined, one(80))],
    ["127.0.0.1:0:80", spec("127.0.0.1", undefined, one(80))],
    ["[127.0.0.1]:8080:80", spec("127.0.0.1", one(8080), one(80))],
    ["0.0.0.0:8080:80", spec("0.0.0.0", one(8080), one(80))],
    ["[::1]:8080:80", spec("::1", one(8080), one(80))],
    ["[::1]::80", spec("::1", undefined, one(80))],
    ["[::]:8080:80/udp", spec("::", one(8080), one(80), "udp")],
    ["[2001:DB8:0:0::1]:8000-8001:80-81", spec("2001:db8::1", ports(8000, 8001), ports(80, 81))],
    ["[::ffff:192.0.2.1]:8080:80", spec("192.0.2.1", one(8080), one(80))],
    ["::1:8080:80", spec("::1", one(8080), one(80))],
    ["2001:db8:0:2001::68::333", spec("2001:db8:0:2001::68", undefined, one(333))],
    ["::::80", spec("::", undefined, one(80))],
    ["8000-8010:80-90", spec(undefined, ports(8000, 8010), ports(80, 90))],
    ["8000-8010:80", spec(undefined, ports(8000, 8010), one(80))],
    ["8000-8010:80-80", spec(undefined, ports(8000, 8010), one(80))],
    ["8000-8000:80", spec(undefined, one(8000), one(80))],
    ["[]:8080:80", spec(undefined, one(8080), one(80))],
    ["80/tcp", spec(undefined, undefined, one(80))],
    ["80/", spec(undefined, undefined, one(80))],
    ["80/UDP", spec(undefined, undefined, one(80), "udp")],
    ["1:1/sctp", spec(undefined, one(1), one(1), "sctp")],
    ["65535:65535/Sctp", spec(undefined, one(65535), one(65535), "sctp")],
    ["published=8080,target=80", spec(undefined, one(8080), one(80))],
    [
      "target=80-81,published=8000-8001,protocol=udp,mode=host",
      spec(undefined, ports(8000, 8001), ports(80, 81), "udp"),
    ],
    ["target=80", spec(undefined, undefined, one(80))],
  ];
  for (const [text, meant] of cases) t.same(parsePortSpec(text), meant, text);
  t.end();
});

t.test("what cannot be meant is refused with what is wrong and what to write", (t) => {
  const cases: [text: string, message: RegExp][] = [
    ["", /^port "": the container's port is missing; write PORT, HOST:PORT, /],
    ["8080:", /^port 8080:: the container's port is missing; write PORT/],
    ["/udp", /the container's port is missing/],
    ["x", /^port x: x is not a port; write PORT/],
    ["8080:x", /x is not a port/],
    ["x:80", /x is not a port/],
    [" 80", / 80 is not a port/],
    ["+80", /\+80 is not a port/],
    ["8e1", /8e1 is not a port/],
    ["٨٠", /is not a port/],
    ["-1", /the range -1 lacks an end; write FIRST-LAST/],
    ["80-", /the range 80- lacks an end/],
    ["65536", /65536 is not a port; write one from 1 to 65535/],
    ["99999999999999999999:80", /is not a port; write one from 1/],
    ["0", /a container has no port 0; write one from 1 to 65535/],
    ["8080:0", /a container has no port 0/],
    ["8080:0-5", /a container has no port 0/],
    ["90-80", /the range 90-80 ends before it begins; write 80-90/],
    ["8010-8000:80", /the range 8010-8000 ends before it begins; write 8000-8010/],
    ["80-90-100", /80-90-100 is not a range of ports/],
    [
      "8000-8010:80-85",
      /: 11 ports of the host for 6 of the container; write as many of both, or none of the host for 6 free ones/,
    ],
    ["8000:80-85", /: 1 port of the host for 6 of the container/],
    ["0:80-85", /: 1 port of the host for 6 of the container/],
    ["0-5:80", /0-5 begins with 0, which stands for any free port/],
    [
      "localhost:8080:80",
      /localhost is not an IP address; write an address of this host instead of a name, such as 127/,
    ],
    ["256.0.0.1:8080:80", /256\.0\.0\.1 is not an IP address; write an address of this host, such/],
    ["127.0.0.01:8080:80", /127\.0\.0\.01 is not an IP address/],
    ["127.0.0.1", /127\.0\.0\.1 is not a port/],
    [
      "127.0.0.1:80",
      /127\.0\.0\.1 stands where the host's port belongs; write 127\.0\.0\.1::80 for a free one, or 127\.0\.0\.1:8080:80/,
    ],
    ["[::1]:80", /the host's port is missing; write \[::1\]::80 for a free one, or \[::1\]:8080:80/],
    ["[::1:8080:80", /\[::1 is not an IP address; write \[::1\]:8080:80/],
    ["[::1]x:8080:80", /\[::1\]x is not an IP address/],
    ["::1:80", /: is not an IP address; write \[::1\]/],
    ["[fe80::1%eth0]:8080:80", /has a zone; write the address without it/],
    ["80/icmp", /icmp is not a protocol; write \/tcp, \/udp or \/sctp/],
    ["80/tcp/udp", /tcp\/udp is not a protocol/],
    ["8080/tcp:80", /8080\/tcp is not a port/],
    ["published=8080", /the container's port is missing/],
    ["target=80,publised=8080", /publised is not known here; write published=8080,target=80/],
    ["target=80,", /an empty part is not NAME=VALUE/],
    ["target=80,8080", /8080 is not NAME=VALUE/],
    ["target=80,toString=1", /toString is not known here/],
  ];
  for (const [text, message] of cases)
    t.throws(() => parsePortSpec(text), { code: "PORT_SPEC_INVALID", subject: text, message }, JSON.stringify(text));
  t.end();
});

t.test("whatever is written is either understood or refused in those words", (t) => {
  const pieces = fc.constantFrom(
    "80",
    "0",
    "-",
    ":",
    "/",
    "udp",
    "[",
    "]",
    "::1",
    "127.0.0.1",
    "8000-8010",
    "=",
    ",",
    "x",
    " ",
  );
  const text = fc.oneof(
    fc.string(),
    fc.array(pieces, { maxLength: 10 }).map((parts) => parts.join("")),
  );
  fc.assert(
    fc.property(text, (written) => {
      try {
        const { host, container } = parsePortSpec(written);
        for (const range of [host ?? container, container])
          if (!(range.first >= 1 && range.first <= range.last && range.last <= 65535)) return false;
        return true;
      } catch (error) {
        return error instanceof PontoonError && error.code === "PORT_SPEC_INVALID";
      }
    }),
    { numRuns: 2000 },
  );
  t.end();
});

t.test("every port of the container has its mapping", (t) => {
  const mapping = (hostPorts: PortRange | undefined, containerPort: number) => ({
    ip: undefined,
    hostPorts,
    containerPort,
    transport: "tcp",
  });
  t.same(mappingsOf(parsePortSpec("8000-8001:80-81")), [mapping(one(8000), 80), mapping(one(8001), 81)]);
  t.same(mappingsOf(parsePortSpec("80-81")), [mapping(undefined, 80), mapping(undefined, 81)]);
  t.same(mappingsOf(parsePortSpec("8000-8010:80")), [mapping(ports(8000, 8010), 80)], "one of a range");
  t.same(mappingsOf(parsePortSpec("[::1]:8000:80/udp")), [
    { ip: "::1", hostPorts: one(8000), containerPort: 80, transport: "udp" },
  ]);
  const all = mappingsOf(parsePortSpec("1-65535:1-65535"));
  t.equal(all.length, 65535);
  t.same(all.at(-1), mapping(one(65535), 65535));
  t.end();
});

t.test("a spec finds what it published", (t) => {
  const port = (change: Partial<BoundPort> = {}): BoundPort => ({
    transport: "tcp",
    ip: "0.0.0.0",
    hostPort: 8080,
    containerPort: 80,
    ...change,
  });
  const cases: [text: string, port: BoundPort, found: boolean][] = [
    ["80", port(), true],
    ["80", port({ hostPort: 80, containerPort: 8080 }), false],
    ["80", port({ transport: "udp" }), false],
    ["80/udp", port({ transport: "udp" }), true],
    ["80-90/tcp", port({ containerPort: 90 }), true],
    ["80-90/tcp", port({ containerPort: 91 }), false],
    ["8080:80", port(), true],
    ["8080:80", port({ ip: "::" }), true],
    ["8081:80", port(), false],
    ["0:80", port(), true],
    ["8000-8090:80", port(), true],
    ["8000-8079:80", port(), false],
    ["8080-8081:80-81", port({ hostPort: 8081, containerPort: 81 }), true],
    ["8080-8081:80-81", port({ hostPort: 8081 }), false],
    ["0.0.0.0:8080:80", port(), true],
    ["127.0.0.1:8080:80", port(), false],
    ["[0:0::1]::80", port({ ip: "::1" }), true],
  ];
  for (const [text, given, found] of cases) t.equal(matcherOf(text)(given), found, `${text} ${JSON.stringify(given)}`);
  t.throws(() => matcherOf("web"), { code: "PORT_SPEC_INVALID" });
  t.end();
});

t.test("a label holds several specs", (t) => {
  t.same(portLabel("8443:443/tcp,9000:9000"), ["8443:443/tcp", "9000:9000"]);
  t.same(portLabel(" [::1]:80:80 ,\n [2001:db8::1]::443 , ,"), ["[::1]:80:80", "[2001:db8::1]::443"]);
  t.same(portLabel(" "), []);
  t.end();
});
