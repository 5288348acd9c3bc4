import t from "tap";
import { until } from "../lab/index.js";
import { run } from "../networks/host.js";
import { ClusterLab, untilPings } from "./hosts.js";

t.test("the walk that people know: two hosts, one network, a name that is one for both", async (t) => {
  const lab = await ClusterLab.start(t, { members: 2 });
  t.ok(await lab.etcd.isHealthy(1));
  t.ok(await lab.etcd.isHealthy(2));
  const [east, west] = await Promise.all([lab.host(1), lab.host(2)]);

  await run(east.pontoon, "network create -d overlay demo --subnet 10.88.0.0/16 --subnet fd00:88::/64");
  await until(async () => (await run(west.pontoon, "network ls")).includes("demo"), { what: "the second host has it" });
  const idOn = async (pontoon: typeof east.pontoon) =>
    (JSON.parse(await run(pontoon, "network inspect demo")) as { Id: string }[])[0]!.Id;
  t.equal(await idOn(east.pontoon), await idOn(west.pontoon), "under one id");

  await t.rejects(run(east.pontoon, "network create plain --encrypted"), {
    message: /--encrypted is for overlay networks/,
  });

  await run(east.pontoon, "sandbox create test12 --network demo");
  await t.rejects(run(west.pontoon, "sandbox create test12 --network demo"), {
    message: /endpoint with name test12 already exists in network demo/,
  });
  t.equal(await run(west.pontoon, "sandbox ls --json"), "[]", "nothing is left of it");
  await run(west.pontoon, "sandbox create test13 --network demo");
  await untilPings(east, "test12", "test13");
  await untilPings(west, "test13", "test12");
  await t.rejects(run(east.pontoon, "network rm demo"), { message: /in use by sandbox test12/ });
  await run(east.pontoon, "sandbox rm test12");
  await t.rejects(run(east.pontoon, "network rm demo"), { message: /in use by test13 on host/ });
  await run(west.pontoon, "sandbox rm test13");
  await run(east.pontoon, "network rm demo");
  await until(async () => !(await run(west.pontoon, "network ls")).includes("demo"), { what: "it is gone on both" });
  t.equal(await east.pontoon.stop(), 0);
  t.equal(await west.pontoon.stop(), 0);
});
