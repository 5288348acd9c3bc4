import t from "tap";
import { Mirror } from "../../cluster/mirror.js";
import { keys } from "../../cluster/records.js";
import { neighbourChanges } from "./neighbours.js";

const [ip, mac, advertise] = ["10.88.0.2", "02:42:0a:58:00:02", "10.99.0.2"];
const host = { id: "h2", name: "west", advertise, joined: "" };
const endpoint = {
  ...{ id: "e1", network: "n1", host: "h2", sandbox: "s1", name: "web", hostname: "web", aliases: [], exposed: [] },
  ...{ ipv4: ip, mac },
};

t.test("the kernel knows an endpoint of another host as long as that is one", (t) => {
  const mirror = new Mirror();
  let revision = 0;
  const tell = (...changes: [key: string, value: unknown][]) => {
    revision++;
    const told = changes.map(([key, value]) => ({ key, record: value ? { key, value, revision } : undefined }));
    return neighbourChanges(mirror, "h1", mirror.apply({ revision, changes: told }));
  };
  const known = { network: "n1", put: [{ ip, mac, host: advertise }], removed: [] };
  const unknown = { network: "n1", put: [], removed: [ip] };
  t.same(tell([keys.host("h2"), host], [keys.endpoint("n1", "web"), endpoint]), [known]);
  t.same(tell([keys.host("h2"), undefined]), [unknown], "its record is gone, and its endpoint is there");
  t.same(tell([keys.host("h2"), host]), [known], "it is a host again");
  t.same(tell([keys.endpoint("n1", "web"), undefined]), [unknown]);
  t.end();
});
