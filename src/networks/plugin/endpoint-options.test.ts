import t from "tap";
import { refusalOf } from "../testing/records.js";
import { linkNameOf, mappedPorts } from "./endpoint-options.js";

const portMap = "com.docker.network.portmap";
const ifname = "com.docker.network.endpoint.ifname";

t.test("ports are read as libnetwork writes them", (t) => {
  t.same(mappedPorts({}), []);
  t.same(mappedPorts({ [portMap]: null }), []);
  const all = { IP: "", HostIP: "", HostPort: 0, HostPortEnd: 0 };
  t.same(
    mappedPorts({
      [portMap]: [
        { ...all, Proto: 6, Port: 80 },
        { ...all, Proto: 17, Port: 53, HostIP: "127.0.0.1", HostPort: 5353, HostPortEnd: 5353 },
        { ...all, Proto: 132, Port: 80, HostIP: "::1", HostPort: 8000, HostPortEnd: 8010 },
        { Proto: 6, Port: 81, HostPort: 8081 },
        { Proto: 6, Port: 82, HostPort: 8082, HostPortEnd: null },
      ],
    }),
    [
      { transport: "tcp", containerPort: 80 },
      { transport: "udp", containerPort: 53, ip: "127.0.0.1", hostPorts: { first: 5353, last: 5353 } },
      { transport: "sctp", containerPort: 80, ip: "::1", hostPorts: { first: 8000, last: 8010 } },
      { transport: "tcp", containerPort: 81, hostPorts: { first: 8081, last: 8081 } },
      { transport: "tcp", containerPort: 82, hostPorts: { first: 8082, last: 8082 } },
    ],
  );
  t.end();
});

t.test("ports that cannot be are refused", (t) => {
  const good = { Proto: 6, Port: 80 };
  const cases: unknown[] = [
    "x",
    {},
    [1],
    [{ ...good, Proto: 1 }],
    [{ ...good, Port: 0 }],
    [{ ...good, Port: 65_536 }],
    [{ ...good, Port: 80.5 }],
    [{ ...good, HostPort: -1 }],
    [{ ...good, HostPortEnd: 70_000 }],
    [{ ...good, HostIP: "foo" }],
    [{ ...good, HostIP: 1 }],
  ];
  for (const ports of cases)
    t.equal(refusalOf(() => mappedPorts({ [portMap]: ports }))[0], "OPTION_INVALID", JSON.stringify(ports));
  t.end();
});

t.test("the name of a link", (t) => {
  for (const none of [undefined, null, ""]) t.equal(linkNameOf({ [ifname]: none }), undefined);
  for (const name of ["lan0", "wan", "x".repeat(15)]) t.equal(linkNameOf({ [ifname]: name }), name);
  for (const name of ["a/b", "a:b", "a b", "%d", "lo", "..", "x".repeat(16), 1, {}, ["lan0"]])
    t.equal(refusalOf(() => linkNameOf({ [ifname]: name }))[0], "LINK_NAME_INVALID", JSON.stringify(name));
  t.end();
});
