import t from "tap";
import { DockerHost, FakeDriver, type FakeCall } from "../lab/index.js";
import { run } from "./host.js";

/** When a plugin is asked what it is, is either's own; ports are pontoon's to publish. */
function isCompared({ method }: FakeCall): boolean {
  return !/Activate|GetCapabilities|ExternalConnectivity/.test(method);
}

/** A call without what is another each time. */
function plain({ method, body }: FakeCall): string {
  const text = JSON.stringify(body, (key, value: unknown) => {
    if (key === "com.docker.network.enable_ipv4") return undefined; // said since Docker 28
    if (/^(NetworkID|EndpointID|SandboxKey)$/.test(key)) return key;
    if (/macaddress|MacAddress/i.test(key) && value !== "") return "MAC";
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject
      ? Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)))
      : value;
  });
  return `${method} ${text}`;
}

t.test("a plugin is asked the same by dockerd and by pontoon, and serves both at once", async (t) => {
  const host = await DockerHost.start(t);
  const driver = new FakeDriver(host);
  await driver.listen();
  const flags = "-d fake -o colour=red --ipam-driver fake --ipam-opt site=here";
  const callsSince = async (count: number) => (await driver.state()).calls.slice(count).filter(isCompared).map(plain);
  await host.docker(...`network create ${flags} --subnet 10.70.0.0/24 theirs`.split(" "));
  const box = await host.container({ networks: ["theirs"] });
  await host.docker("rm", "--force", box.id);
  await host.docker("network", "rm", "theirs");
  const theirs = [...new Set(await callsSince(0))]; // it asks for EndpointOperInfo twice
  const count = (await driver.state()).calls.length;
  const pontoon = await host.pontoon();
  await run(pontoon, `network create ${flags} --subnet 10.70.0.0/24 ours`);
  await run(pontoon, "sandbox create box --network ours");
  await run(pontoon, "sandbox rm box");
  await run(pontoon, "network rm ours");
  const ours = await callsSince(count);
  t.same(ours, theirs);
  t.equal(await driver.held(), "");

  await host.docker(...`network create -d fake --subnet 10.71.0.0/24 theirs`.split(" "));
  await run(pontoon, "network create -d fake --subnet 10.72.0.0/24 ours");
  const container = await host.container({ networks: ["theirs"] });
  await run(pontoon, "sandbox create box --network ours");
  t.equal(await driver.held(), "2 networks, 2 endpoints, 2 joined");
  await run(pontoon, "sandbox rm box");
  await host.docker("rm", "--force", container.id);
  t.equal(await driver.held(), "2 networks");
  t.equal(await pontoon.stop(), 0);
});
