import t from "tap";
import { linkVariables, variablePortsAtMost } from "./link-variables.js";
import type { SandboxRecord } from "./records.js";
import { endpointRecord, networkRecord, registryOf, sandboxRecord } from "./testing/records.js";

const [one, two] = [networkRecord(1, { ipv6: true }), networkRecord(2)];

const variables = (exposed: SandboxRecord["exposed"], alias = "db", there: object = { ipv4: "10.1.0.3" }) => {
  const [page, other] = [sandboxRecord("page"), sandboxRecord("postgres", { exposed })];
  const registry = registryOf({
    networks: [one],
    sandboxes: [page, other],
    endpoints: [endpointRecord(page, one, { links: [["postgres", alias]] }), endpointRecord(other, one, there)],
  });
  return linkVariables(registry, page);
};

t.test("of a linked sandbox its exposed ports are told, as Docker does", (t) => {
  t.same(variables([]), ["DB_NAME=/page/db"]);
  t.same(
    variables(
      [
        [53, "udp"],
        [5432, "tcp"],
        [53, "tcp"],
      ],
      "my-db",
    ),
    [
      "MY_DB_PORT=tcp://10.1.0.3:53",
      "MY_DB_PORT_53_TCP=tcp://10.1.0.3:53",
      "MY_DB_PORT_53_TCP_ADDR=10.1.0.3",
      "MY_DB_PORT_53_TCP_PORT=53",
      "MY_DB_PORT_53_TCP_PROTO=tcp",
      "MY_DB_PORT_53_UDP=udp://10.1.0.3:53",
      "MY_DB_PORT_53_UDP_ADDR=10.1.0.3",
      "MY_DB_PORT_53_UDP_PORT=53",
      "MY_DB_PORT_53_UDP_PROTO=udp",
      "MY_DB_PORT_5432_TCP=tcp://10.1.0.3:5432",
      "MY_DB_PORT_5432_TCP_ADDR=10.1.0.3",
      "MY_DB_PORT_5432_TCP_PORT=5432",
      "MY_DB_PORT_5432_TCP_PROTO=tcp",
      "MY_DB_NAME=/page/my-db",
    ],
  );
  t.end();
});

t.test("ports that follow one another are told as a run, too, from three on", (t) => {
  const runs = (ports: SandboxRecord["exposed"]) => variables(ports).filter((text) => /_(START|END)=/.test(text));
  t.same(
    runs([
      [80, "tcp"],
      [81, "tcp"],
      [82, "udp"],
      [90, "tcp"],
    ]),
    [],
  );
  t.same(
    runs([
      [80, "tcp"],
      [80, "udp"],
      [81, "tcp"],
      [82, "tcp"],
      [90, "tcp"],
    ]),
    [
      "DB_PORT_80_TCP_START=tcp://10.1.0.3:80",
      "DB_PORT_80_TCP_PORT_START=80",
      "DB_PORT_80_TCP_END=tcp://10.1.0.3:82",
      "DB_PORT_80_TCP_PORT_END=82",
    ],
  );
  t.end();
});

t.test("an IPv6 address is told where there is no other", (t) => {
  t.same(variables([[80, "tcp"]], "db", { ipv4: undefined, ipv6: "fd00:1::3" }).slice(0, 3), [
    "DB_PORT=tcp://[fd00:1::3]:80",
    "DB_PORT_80_TCP=tcp://[fd00:1::3]:80",
    "DB_PORT_80_TCP_ADDR=fd00:1::3",
  ]);
  t.end();
});

t.test("however many ports there are, a program can be started", (t) => {
  const many = Array.from({ length: 40_000 }, (_, index): [number, "tcp"] => [index + 1, "tcp"]);
  t.equal(variables(many).filter((text) => text.includes("_PROTO=")).length, variablePortsAtMost);
  t.end();
});

t.test(
  "of one that is not there, or on no network with it, nothing is told; of several networks the first counts",
  (t) => {
    const [page, other] = [sandboxRecord("page"), sandboxRecord("db")];
    const links: [string, string][] = [
      ["db", "db"],
      ["nobody", "x"],
    ];
    const at = (...endpoints: Parameters<typeof registryOf>[0]["endpoints"] & object) =>
      linkVariables(registryOf({ networks: [one, two], sandboxes: [page, other], endpoints }), page);
    t.same(at(endpointRecord(page, one, { links }), endpointRecord(other, two)), []);
    const exposing = { ...other, exposed: [[80, "tcp"]] as [number, "tcp"][] };
    const registry = registryOf({
      networks: [one, two],
      sandboxes: [page, exposing],
      endpoints: [
        endpointRecord(page, one, { links }),
        endpointRecord(page, two, { links }),
        endpointRecord(exposing, one, { ipv4: "10.1.0.3" }),
        endpointRecord(exposing, two, { ipv4: "10.2.0.3" }),
      ],
    });
    t.match(linkVariables(registry, page).join(" "), /^DB_PORT=tcp:\/\/10\.1\.0\.3:80 /);
    t.notMatch(linkVariables(registry, page).join(" "), /10\.2\.0\.3/);
    t.end();
  },
);
