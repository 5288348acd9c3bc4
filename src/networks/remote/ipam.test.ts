import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { Subnet } from "../../../network/addresses/subnet.js";
import { AddressPools } from "../plugin/address-pools.js";
import type { DockerNetworks } from "../plugin/docker-networks.js";
import { pluginMethods } from "../plugin/methods.js";
import { PluginRegistry } from "../plugin/plugin-registry.js";
import { PluginServer } from "../plugin/server.js";
import { MemoryStore } from "../testing/memory-store.js";
import { requestFor } from "../testing/records.js";
import type { DueCall } from "./dues.js";
import { addressesOwed, poolsOwed, RemoteIpam } from "./ipam.js";
import { Plugins } from "./plugins.js";

/** Pontoon's own plugin, as dockerd has it, asked over its socket. */
async function ownPlugin(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), "ipam-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const records = new PluginRegistry(new MemoryStore());
  records.load();
  const pool = { base: Subnet.parse("10.2.0.0/15"), size: 24 };
  const ground = () => ({ pools: { ipv4: [pool], ipv6: [] }, taken: [], takenByNetworks: [] });
  const pools = new AddressPools(records, ground, { holderOf: () => undefined, isNamed: () => false });
  const methods = pluginMethods(undefined as unknown as DockerNetworks, pools, pools);
  const socket = { path: join(folder, "real.sock"), link: join(folder, "own.sock") };
  const server = new PluginServer(socket, methods, (_, error) => t.fail(String(error)));
  await server.start();
  t.teardown(() => server.stop());
  const plugins = new Plugins({ sockets: folder, specs: [] }, { answer: 5000, again: [] });
  const settle = async (calls: readonly DueCall[]) => {
    for (const { method, body } of calls)
      await plugins.get("own").call(method, body, { safeParse: (data: unknown) => ({ success: true, data }) } as never);
  };
  return { ipam: new RemoteIpam(plugins), records, settle };
}

t.test("pontoon's own IPAM plugin gives pools, gateways and addresses, and takes them back", async (t) => {
  const { ipam, records, settle } = await ownPlugin(t);
  let owed: readonly DueCall[] = [];
  const onOwed = (calls: readonly DueCall[]) => (owed = calls);
  const request = requestFor.network({
    ipamDriver: "own",
    subnets: ["10.7.0.0/24"],
    ipRanges: ["10.7.0.128/25"],
    gateways: ["10.7.0.9"],
  });
  const pools = await ipam.requestPools(request, onOwed);
  t.match(pools, {
    driver: "own",
    needsMac: false,
    pools: { 0: { subnet: "10.7.0.0/24", gateway: { ip: "10.7.0.9", prefix: 24 }, addressSpace: "pontoon-local" } },
  });
  t.same(
    owed.map(({ method }) => method),
    ["IpamDriver.ReleaseAddress", "IpamDriver.ReleasePool"],
  );
  t.same(owed, poolsOwed(pools));
  t.same(await ipam.requestAddresses(pools, ["10.7.0.50"], undefined, onOwed), [{ ip: "10.7.0.50", prefix: 24 }]);
  t.same(owed, addressesOwed(pools, ["10.7.0.50", undefined]));
  const [first] = await ipam.requestAddresses(pools, [], undefined, onOwed);
  t.match(first, { ip: /^10\.7\.0\.1(2[89]|[3-9]\d)$/ }, "of the range");
  await t.rejects(ipam.requestAddresses(pools, ["10.8.0.1"], undefined, onOwed), { code: "ADDRESS_OUTSIDE" });
  await t.rejects(ipam.requestAddresses(pools, ["10.7.0.50"], undefined, onOwed), {
    code: "PLUGIN_REFUSED",
    message: /10\.7\.0\.50 is taken/,
  });
  await settle(addressesOwed(pools, ["10.7.0.50", first!.ip]));
  await settle(poolsOwed(pools));
  t.equal(records.pools.size, 0);

  const chosen = await ipam.requestPools(requestFor.network({ ipamDriver: "own" }), onOwed);
  t.match(chosen.pools, { length: 1, 0: { subnet: /^10\.[23]\.\d+\.0\/24$/ } });
  await t.rejects(ipam.requestPools(requestFor.network({ ipamDriver: "own", ipv6: true }), onOwed), {
    code: "PLUGIN_REFUSED",
  });
  t.same(
    owed.map(({ method }) => method),
    ["IpamDriver.ReleaseAddress", "IpamDriver.ReleasePool"],
    "what was given before is owed",
  );
  await t.rejects(ipam.requestPools(requestFor.network({ ipamDriver: "own", ipamOptions: { a: "b" } }), onOwed), {
    message: /has no option a/,
  });
});
