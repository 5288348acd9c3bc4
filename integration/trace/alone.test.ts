// Without a daemon: dockerd and the kernel tell enough.
import t from "tap";
import { DockerHost } from "../lab/index.js";
import { endOf, traceAlone } from "./traced.js";

t.test("without a daemon dockerd is asked, and its resolver", async (t) => {
  const host = await DockerHost.start(t);
  const outside = await host.outside();
  await outside.dns();
  await host.network("front");
  await host.container({ name: "app", networks: ["front"] });
  await host.container({
    name: "web",
    networks: ["front"],
    command: ["httpd", "-f", "-p", "80"],
    options: ["-p", "8080:80"],
  });
  await host.container({ name: "db", networks: ["front"], start: false });
  const { steps, ...web } = await traceAlone(host, "app", "web:80");
  t.match(endOf({ steps, ...web }), /^arrives in web: httpd/);
  t.match(steps[0], { kind: "name", text: /^web is \S+: Docker's resolver$/ });
  t.match(endOf(await traceAlone(host, "app", "db:80")), /^stops in db: db does not run \| docker start db$/);
  t.match(endOf(await traceAlone(host, outside.address, "web:80")), /^arrives in web: httpd/);
  t.match(endOf(await traceAlone(host, "host", "web:80", "--probe")), /^arrives in web: httpd/);
});

t.test("without dockerd there are still the host and addresses", async (t) => {
  const host = await DockerHost.start(t);
  await host.outside();
  await host.stopDockerd();
  t.match(endOf(await traceAlone(host, "host", "10.77.0.2:80")), /^arrives in outside: /);
  t.match(
    endOf(await traceAlone(host, "host", "127.0.0.1:9")),
    /^stops in host: nobody listens at port 9\/tcp in host/,
  );
});
