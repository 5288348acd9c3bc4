import t from "tap";
import { DockerHost } from "../lab/index.js";
import { run } from "./host.js";

t.test("what Docker gives addresses from is left to it, also where no route says so", async (t) => {
  const host = await DockerHost.start(t);
  const pontoon = await host.pontoon();
  await host.docker("network", "create", "--subnet=172.20.0.0/16", "theirs");
  const id = await host.docker("network", "inspect", "-f", "{{.Id}}", "theirs");
  await host.exec(["ip", "link", "delete", `br-${id.trim().slice(0, 12)}`]);
  t.notMatch((await host.exec(["ip", "route"])).stdout, /172\.20\./, "no route says so");
  t.match(await pontoon.cli("network", "create", "front", "--subnet", "172.20.5.0/24"), {
    exitCode: 1,
    stderr: /^pontoon: .*172\.20\.5\.0\/24.*Docker's network theirs.*\n$/,
  });
  const subnets: string[] = [];
  for (const name of ["a", "b", "c", "d"]) {
    await run(pontoon, `network create ${name}`);
    const [answer] = JSON.parse(await run(pontoon, `network inspect ${name}`)) as [
      { IPAM: { Config: { Subnet: string }[] } },
    ];
    subnets.push(answer.IPAM.Config[0]!.Subnet);
  }
  t.same(subnets, ["172.18.0.0/16", "172.19.0.0/16", "172.21.0.0/16", "172.22.0.0/16"], "it is skipped");
  t.match(await pontoon.cli("network", "create", "e", "--subnet", "172.17.0.0/16"), {
    exitCode: 1,
    stderr: /Docker's network bridge/,
  });
  t.equal(await pontoon.stop(), 0);
});
