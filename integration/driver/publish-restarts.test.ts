// Ports of containers on networks of the driver pontoon, while the daemon, pontoon-proxy and dockerd end and come back.
import { rmSync } from "node:fs";
import t from "tap";
import { until } from "../lab/index.js";
import { both } from "../networks/talk.js";
import { host4, outside4, PublishingHost } from "./published.js";

const published = await PublishingHost.start(t);
const { host, talk } = published;
await published.docker("network create -d pontoon --subnet 10.91.1.0/24 front");

t.test("ports go on while the daemon, or pontoon-proxy, ends and comes back", async (t) => {
  await published.serve("web", "--network front -p 8031:80 -p 8031:80/udp", 80);
  await published.run("gone", "--network front -p 8032:80");
  await published.run("removed", "--network front -p 8033:80");
  const isServed = () =>
    talk.wrong([
      ...both("outside", `${host4} 8031`, `web ${outside4}`),
      ...both("host", "127.0.0.1 8031", "web 10.91.1.1"),
    ]);
  const onlyWebHasPorts = () =>
    until(async () => (await published.rows()).every(({ container }) => container === "web"), {
      what: "who is gone has no ports",
      timeoutMs: 30_000,
    });
  for (const how of ["SIGTERM", "SIGKILL", "everything"] as const) {
    if (how === "everything") await published.pontoon.killEverything();
    else await published.pontoon.stop(how);
    if (how !== "everything") t.same(await isServed(), [], `after ${how}`);
    // dockerd tells the plugin for a while, and nobody afterwards.
    const removed = how === "SIGKILL" ? published.docker("rm -f gone removed") : undefined;
    published.pontoon = await host.pontoon();
    await until(async () => (await isServed()).length === 0, {
      what: `a daemon again after ${how}`,
      timeoutMs: 10_000,
    });
    await removed;
    if (removed) await onlyWebHasPorts();
    t.equal((await published.rows("web")).length, 4);
  }
  await host.signal("SIGKILL", ...published.pontoon.processes("pontoon-proxy"));
  await until(async () => (await isServed()).length === 0, { what: "another pontoon-proxy serves", timeoutMs: 15_000 });
  await published.run("gone", "--network front -p 8032:80");
  t.equal((await published.rows("gone")).length, 2);

  await published.pontoon.kill();
  await host.stopDockerd({ signal: "SIGKILL" });
  await talk.end("web");
  published.pontoon = await host.pontoon();
  await host.startDockerd();
  await published.docker("start web");
  await published.answer("web", 80);
  t.same(await isServed(), [], "dockerd and its containers have ended as well, and told nobody");
  await published.docker("rm -f gone");
  await published.run("next", "--network front -p 8032:80");
  t.equal((await published.rows("next")).length, 2);
  await talk.end("web");
  await published.docker("rm -f web next");
  t.same(await published.rows(), []);
});

t.test("what was stored is lost while pontoon-proxy serves: ports of containers that are gone are freed", async (t) => {
  await published.serve("web", "--network front -p 8061:80", 80);
  await published.run("gone", "--network front -p 8062:80");
  await published.pontoon.kill();
  // dockerd is told that its containers are gone when it starts again, and tells nobody.
  await host.stopDockerd({ signal: "SIGKILL" });
  rmSync(host.path("/var/lib/pontoon"), { recursive: true, force: true });
  await talk.end("web");
  await host.startDockerd();
  published.pontoon = await host.pontoon();
  await published.hasNoPorts();
  for (const name of ["web", "gone"]) await published.docker(`start ${name}`);
  await published.answer("web", 80);
  t.equal(await talk.ask("outside", `tcp ${host4} 8061`), `web ${outside4}`);
  await talk.end("web");
  await published.docker("rm -f web gone");
  t.same(await published.rows(), []);
});

t.teardown(() => published.pontoon.stop());
