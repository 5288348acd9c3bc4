import t from "tap";
import { parseConfig, type Config } from "./config.js";
import { reload } from "./reload.js";

const config = (text: string): Config => parseConfig(text, "test.yaml");

t.test("keys that can change while everything runs do; the others are told each time until they have", (t) => {
  const running = config("docker: unix:///one.sock\ndns: { ttl: 5, orphan-after: 60 }");
  const read = config(
    "docker: unix:///two.sock\nip: 192.0.2.1\nlog-level: debug\ndns: { ttl: 7, enabled: false }\nports: { drain: 1 }",
  );
  const first = reload(running, read);
  t.same([...first.applied].sort(), ["dns.ttl", "log-level"]);
  t.same([...first.atNextStart].sort(), ["dns.enabled", "docker", "ip", "ports.drain"]);
  t.match(first.config, {
    docker: "unix:///one.sock",
    "log-level": "debug",
    dns: { ttl: 7, enabled: true, "orphan-after": 60 },
    ports: { drain: 10 },
  });
  const second = reload(first.config, read);
  t.same(second.applied, []);
  t.same(second.atNextStart, first.atNextStart);
  t.same(reload(running, config("docker: unix:///one.sock")).atNextStart, []);
  t.end();
});

t.test("which hosts share a store, and how it is reached, counts from the next start on", (t) => {
  const read = config("store: etcd://192.0.2.7\nadvertise: 192.0.2.1\netcd: { ca: ca.pem }");
  t.same([...reload(config(""), read).atNextStart].sort(), ["advertise", "etcd.ca", "store"]);
  t.end();
});

t.test("every key there is is one or the other, those of later versions, too", (t) => {
  const running = { ...config(""), later: { deep: [1], same: [2] } } as Config;
  const changed = (value: unknown): unknown =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, changed(inner)]))
      : "changed";
  const read = { ...(changed(running) as Config), later: { deep: [2], same: [2], added: 1 } } as Config;
  const { applied, atNextStart, config: merged } = reload(running, read);
  const names = (value: object, prefix = ""): string[] =>
    Object.entries(value).flatMap(([key, inner]: [string, unknown]) =>
      typeof inner === "object" && inner !== null && !Array.isArray(inner)
        ? names(inner, `${prefix}${key}.`)
        : [`${prefix}${key}`],
    );
  t.same(
    [...applied, ...atNextStart].sort(),
    names(read)
      .filter((name) => name !== "later.same")
      .sort(),
  );
  t.ok(applied.every((name) => name === "log-level" || name.startsWith("dns.")));
  t.match(merged, { later: { deep: { length: 1, 0: 1 }, same: { length: 1, 0: 2 }, added: undefined } });
  t.end();
});
