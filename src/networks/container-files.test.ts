import t from "tap";
import { withHosts, withResolvConf } from "./container-files.js";

const dockers = "127.0.0.1\tlocalhost\n192.0.2.7\tprinter\n";

t.test("lines are added to a hosts file, replaced, and taken away again", (t) => {
  const once = withHosts(dockers, ["172.17.0.2\tbox"]);
  t.equal(once, `${dockers}# written by pontoon\n172.17.0.2\tbox\n`);
  t.equal(withHosts(once, ["172.17.0.2\tbox"]), once);
  const twice = withHosts(once, ["172.17.0.9\tbox", "172.17.0.3\tdb"]);
  t.equal(twice, `${dockers}# written by pontoon\n172.17.0.9\tbox\n172.17.0.3\tdb\n`);
  for (const content of [once, twice, dockers]) t.equal(withHosts(content, []), dockers);
  t.equal(withHosts("", ["172.17.0.2\tbox"]), "# written by pontoon\n172.17.0.2\tbox\n");
  t.end();
});

t.test("resolv.conf keeps what it said for the time after", (t) => {
  const before = "# of the host\nnameserver 192.0.2.53\nsearch corp.example\n";
  const once = withResolvConf(before, ["nameserver 127.0.0.11"]);
  t.match(once, /^# written by pontoon\nnameserver 127\.0\.0\.11\n/);
  t.same(
    once.split("\n").filter((line) => line !== "" && !line.startsWith("#")),
    ["nameserver 127.0.0.11"],
  );
  const twice = withResolvConf(once, ["nameserver 127.0.0.11", "search lab"]);
  for (const content of [once, twice, before]) t.equal(withResolvConf(content, undefined), before);
  t.end();
});
