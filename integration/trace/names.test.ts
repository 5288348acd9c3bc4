// Broken set-ups with names and networks: each has one right answer.
import t from "tap";
import { DockerHost, type Pontoon } from "../lab/index.js";
import { endOf, trace } from "./traced.js";

const web = ["httpd", "-f", "-p", "0.0.0.0:80"];
let host: DockerHost;
let pontoon: Pontoon;

t.before(async () => {
  host = await DockerHost.start(t);
  await host.outside();
  await host.network("front", { subnet: "172.31.1.0/24" });
  await host.network("back", { subnet: "172.31.2.0/24" });
  await host.network("closed", { subnet: "172.31.3.0/24", internal: true });
  pontoon = await host.pontoon();
  const app = await host.container({ name: "app", networks: ["front"] });
  const both = await host.container({ name: "web", networks: ["front"], command: web });
  await pontoon.answersIn(app, both);
});

t.test("networks that are not shared", async (t) => {
  await host.container({ name: "db", networks: ["back"] });
  const { end } = await trace(pontoon, "app", "db:5432");
  t.match(
    endOf(await trace(pontoon, "app", "db:5432")),
    /^stops in app: db is no name for app: they share no network \(app is on front, db on back\) \| docker network connect back app$/,
  );
  const { IPAddress } = JSON.parse(
    await host.docker("inspect", "db", "--format", "{{json .NetworkSettings.Networks.back}}"),
  ) as { IPAddress: string };
  t.match(
    endOf(await trace(pontoon, "web", `${IPAddress}:5432`)),
    /^stops in host: networks front and back are kept apart: .* \| docker network connect back web$/,
  );
  await host.exec(["sh", "-c", end.remedy!]);
  t.match(
    endOf(await trace(pontoon, "app", "db:5432")),
    /^stops in db: nobody listens at port 5432\/tcp in db, nor at any other/,
  );
  await host.docker("network", "disconnect", "back", "app");
});

t.test("a stopped container's name", async (t) => {
  await host.container({ name: "asleep", networks: ["front"], start: false });
  const { end } = await trace(pontoon, "app", "asleep:80");
  t.same(end, { arrives: false, where: "asleep", why: "asleep does not run", remedy: "docker start asleep" });
});

t.test("an alias on another network", async (t) => {
  await host.container({ name: "store", networks: ["front", { name: "back", aliases: ["cellar"] }] });
  t.match(
    endOf(await trace(pontoon, "app", "cellar:80")),
    /^stops in app: cellar is a name of store on network back only, where app is not; both are on front \| docker network disconnect front store && docker network connect --alias cellar front store$/,
  );
});

t.test("an internal network has no way out", async (t) => {
  const inner = await host.container({ name: "inner", networks: ["closed"] });
  await pontoon.answersIn(inner);
  t.match(
    endOf(await trace(pontoon, "inner", "10.77.0.2:443")),
    // Docker before 27 gives it a way to the bridge, and refuses it there.
    /^stops in (inner: there is no route to 10\.77\.0\.2: inner is only on an internal network \(closed\)|host: network closed is internal: nothing comes in or goes out: .*DOCKER.*) \| docker network connect bridge inner$/,
  );
  t.match(
    endOf(await trace(pontoon, "inner", "example.com:443")),
    /^stops in inner: example\.com has no address for inner: pontoon-dns answers SERVFAIL \(.*internal networks only.*\) \| have inner on a network that is not internal: docker network connect bridge inner$/,
    "names are not asked of strangers there",
  );
});

t.test("wrong usage and strangers", async (t) => {
  t.equal((await pontoon.cli("trace", "app", "web:80/sctp")).exitCode, 2);
  t.match(await pontoon.cli("trace", "nosuch", "web:80"), { exitCode: 1, stderr: /nosuch is neither a container/ });
  t.match(await pontoon.cli("trace", "asleep", "web:80"), {
    exitCode: 1,
    stderr: /asleep sends nothing: it does not run/,
  });
});
