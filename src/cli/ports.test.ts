import t from "tap";
import type { PortRow } from "../ports/contract.js";
import {
  addressText,
  bytesText,
  failedText,
  lineText,
  longText,
  namedLineText,
  portsPath,
  publishRequest,
  rowsOfPort,
  unpublishRequest,
} from "./ports.js";

const row = (change: Partial<PortRow> = {}): PortRow => ({
  container: "web",
  containerPort: 80,
  transport: "tcp",
  ip: "0.0.0.0",
  hostPort: 8080,
  by: "pontoon",
  source: "command",
  state: "open",
  ...change,
});

t.test("the daemon is asked for what was said, and for nothing else", (t) => {
  t.strictSame(publishRequest("web", ["8080:80", "[::1]::443"], {}), {
    container: "web",
    specs: ["8080:80", "[::1]::443"],
  });
  t.strictSame(publishRequest("web", [], { all: true, ip: "::1", drain: 0 }), {
    container: "web",
    specs: [],
    all: true,
    ip: "::1",
    options: { drainMs: 0 },
  });
  const flags = {
    proxyProtocol: "v2",
    acceptProxyProtocol: ["10.0.0.1"],
    allow: ["10.0.0.0/8"],
    maxConnections: 5,
    drain: 1,
    connectTimeout: 2,
    udpIdle: 3,
  } as const;
  const options = {
    proxyProtocol: "v2",
    acceptProxyProtocolFrom: ["10.0.0.1"],
    allowFrom: ["10.0.0.0/8"],
    maxConnections: 5,
    drainMs: 1,
    connectTimeoutMs: 2,
    udpIdleMs: 3,
  };
  t.strictSame(publishRequest("web", ["80"], flags), { container: "web", specs: ["80"], options });
  t.strictSame(unpublishRequest("web", ["80/udp"]), { container: "web", specs: ["80/udp"] });
  t.equal(portsPath(undefined), "/v1/ports");
  t.equal(portsPath("a b&c"), "/v1/ports?container=a%20b%26c");
  t.end();
});

t.test("a spec that makes no sense is refused before the daemon is asked", (t) => {
  t.throws(() => publishRequest("web", ["80", "90-80"], {}), { code: "PORT_SPEC_INVALID", subject: "90-80" });
  t.throws(() => unpublishRequest("web", ["80", "x"]), { code: "PORT_SPEC_INVALID", subject: "x" });
  t.end();
});

t.test("lines are those of docker port", (t) => {
  t.equal(addressText(row()), "0.0.0.0:8080");
  t.equal(lineText(row()), "80/tcp -> 0.0.0.0:8080");
  t.equal(lineText(row({ ip: "::", transport: "udp" })), "80/udp -> [::]:8080");
  t.equal(namedLineText(row()), "web 80/tcp -> 0.0.0.0:8080");
  t.equal(
    failedText(row({ state: "failed", reason: "nginx has it" })),
    "web 80/tcp -> 0.0.0.0:8080 is not published: nginx has it",
  );
  t.end();
});

t.test("one port of a container is looked up", (t) => {
  const rows = [
    row(),
    row({ ip: "::", state: "refusing" }),
    row({ transport: "udp", hostPort: 9 }),
    row({ containerPort: 443, state: "failed", reason: "nginx has it" }),
    row({ ip: "::1", state: "failed" }),
  ];
  t.same(rowsOfPort(rows, "web", "80"), [rows[0], rows[1], rows[4]]);
  t.same(rowsOfPort(rows, "web", "80/UDP"), rows.slice(2, 3));
  t.throws(() => rowsOfPort(rows, "web", "81"), {
    code: "NOT_PUBLISHED",
    subject: "web",
    message: /^web publishes no port 81; `pontoon port web` shows/,
  });
  t.throws(() => rowsOfPort(rows, "web", "443"), {
    code: "NOT_PUBLISHED",
    message: "443/tcp of web is not published: nginx has it",
  });
  t.throws(() => rowsOfPort(rows, "web", "http"), { code: "PORT_SPEC_INVALID" });
  t.end();
});

t.test("the long table has everything, and a dash for what is not known", (t) => {
  t.equal(longText([]).join("\n"), "No published ports.");
  const served = row({
    target: "172.18.0.2:80",
    path: "kernel",
    connections: 3,
    accepted: 10,
    failedDials: 1,
    refused: 2,
    bytesToContainer: 1234,
    bytesToClients: 52_400_000,
  });
  const [header, ...lines] = longText([
    served,
    row({ by: "docker", source: "docker", ip: "::" }),
    row({ source: "label", state: "failed", reason: "nginx has it" }),
    row({ withoutSourcePort: 7 }),
    row({ transport: "udp", withoutSourcePort: 1 }),
  ]);
  t.equal(
    header,
    "CONTAINER  PORT    ADDRESS       BY                 STATE   TARGET         PATH    OPEN  ACCEPTED  FAILED DIALS  REFUSED  TO CONTAINER  TO CLIENTS",
  );
  const cells = lines.map((line) => line.split(/ {2,}/));
  t.same(cells[0], [
    "web",
    "80/tcp",
    "0.0.0.0:8080",
    "pontoon (command)",
    "open",
    "172.18.0.2:80",
    "kernel",
    "3",
    "10",
    "1",
    "2",
    "1.23 kB",
    "52.4 MB",
  ]);
  t.same(cells[1], ["web", "80/tcp", "[::]:8080", "docker", "open", ...Array<string>(8).fill("-")]);
  t.same(cells[2], [
    "web",
    "80/tcp",
    "0.0.0.0:8080",
    "pontoon (label)",
    "failed",
    ...Array<string>(8).fill("-"),
    "nginx has it",
  ]);
  t.equal(cells[3]!.at(-1), "no source port was left towards the container, 7 times");
  t.equal(cells[4]!.at(-1), "no port of udp-source-ports was left towards the container, 1 times");
  t.end();
});

t.test("bytes are told with three digits", (t) => {
  const cases: [bytes: number, text: string][] = [
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.00 kB"],
    [9994, "9.99 kB"],
    [9999, "10.0 kB"],
    [99_960, "100 kB"],
    [999_499, "999 kB"],
    [999_600, "1.00 MB"],
    [1.5e9, "1.50 GB"],
    [2e15, "2.00 PB"],
    [1.5e19, "15000 PB"],
  ];
  for (const [bytes, text] of cases) t.equal(bytesText(bytes), text, String(bytes));
  t.end();
});
