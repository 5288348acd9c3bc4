import t from "tap";
import { Mirror } from "./mirror.js";
import { keys } from "./records.js";

const endpoint = {
  id: "e1",
  network: "n1",
  host: "h1",
  sandbox: "s1",
  name: "web",
  hostname: "web",
  aliases: [],
  exposed: [],
  ipv4: "10.88.0.2",
  mac: "02:42:0a:58:00:02",
};
const host = { id: "h1", name: "east", advertise: "10.99.0.1", joined: "" };
const put = (key: string, value: unknown, revision: number) => ({ key, record: { key, value, revision } });
const gone = (key: string) => ({ key, record: undefined });

t.test("a mirror is as the store was, and tells what is otherwise", (t) => {
  const mirror = new Mirror();
  const first = mirror.apply({
    revision: 7,
    changes: [
      put(keys.host("h1"), host, 5),
      put(keys.alive("h1"), { since: "" }, 6),
      put(keys.endpoint("n1", "web"), endpoint, 7),
    ],
  });
  t.same([...first.hosts], ["h1"]);
  t.same(first.endpoints, [{ before: undefined, now: endpoint }]);
  t.equal(mirror.revision, 7);
  t.ok(mirror.isAlive("h1"));
  t.same([...mirror.endpointsOf("h1")], [{ endpoint, revision: 7 }]);
  t.same([...mirror.endpointsOf("h2")], []);

  const moved = { ...endpoint, id: "e2", host: "h2" };
  const second = mirror.apply({
    revision: 9,
    changes: [put(keys.endpoint("n1", "web"), moved, 9), gone(keys.alive("h1"))],
  });
  t.same(second.endpoints, [{ before: endpoint, now: moved }]);
  t.notOk(mirror.isAlive("h1"));

  const third = mirror.apply({ revision: 10, changes: [gone(keys.endpoint("n1", "web")), gone(keys.host("h1"))] });
  t.same(third.endpoints, [{ before: moved, now: undefined }]);
  t.equal(mirror.endpointsOn("n1").size + mirror.hosts.size, 0);
  t.end();
});

t.test("what makes no sense to this version is left out, and nothing else is", (t) => {
  const mirror = new Mirror();
  mirror.apply({
    revision: 3,
    changes: [
      put(keys.host("h1"), { ...host, colour: "red" }, 1),
      put(keys.host("h2"), { name: 7 }, 2),
      put(keys.host("h3"), host, 2), // under another's key
      put("state/later/x", "of a later version", 3),
    ],
  });
  t.same([...mirror.hosts.keys()], ["h1"]);
  t.equal(mirror.records.size, 4, "it is kept as it is");
  mirror.apply({ revision: 4, changes: [gone(keys.host("h2"))] });
  t.equal(mirror.records.size, 3);
  t.end();
});
