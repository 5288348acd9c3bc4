import pino from "pino";
import t from "tap";
import type { SharedNetwork } from "../../cluster/records.js";
import { Inventory } from "../../inventory/inventory.js";
import { MemoryStore } from "../testing/memory-store.js";
import { DockerNetworks } from "./docker-networks.js";
import type { PluginParts } from "./parts.js";
import { PluginRegistry } from "./plugin-registry.js";
import type { DockerNetworkRecord } from "./records.js";

const [id, shared] = ["d".repeat(64), "c".repeat(64)];

/** dockerd's network for one of several hosts. @param docker what the store says of that one */
function networksWith(name: string, docker: SharedNetwork["docker"], isRemoving = false) {
  const records = new PluginRegistry(new MemoryStore());
  const record = { id, name, shared, subnets: [], lentGateways: [], isListed: false } as unknown as DockerNetworkRecord;
  records.put("docker-network", record);
  const removed: string[] = [];
  // What is done in the kernel, and by other hosts, is none of this.
  const parts = {
    records,
    registry: { networks: new Map([[shared, { id: shared }]]) },
    reconciler: { command: (work: () => unknown) => Promise.resolve(work()), change: () => Promise.resolve() },
    cluster: { networks: new Map([[shared, { id: shared, docker }]]) },
    overlays: {
      remove: ({ id }: { id: string }) => Promise.resolve(void removed.push(id)),
      leave: () => Promise.resolve(),
    },
    log: pino({ enabled: false }),
    onChanged: () => undefined,
  } as unknown as PluginParts;
  const around = { inventory: new Inventory() } as ConstructorParameters<typeof DockerNetworks>[1];
  const held: string[] = [];
  const twins = {
    name: () => Promise.resolve(),
    hold: (id: string) => void held.push(id),
    letGo: () => undefined,
    isRemoving: () => isRemoving,
  };
  const networks = new DockerNetworks(parts, around, {} as ConstructorParameters<typeof DockerNetworks>[2], twins);
  return { networks, records, removed, held };
}

t.test("what dockerd takes back, and what a user removes", async (t) => {
  const cases: [what: string, name: string, docker: SharedNetwork["docker"], gone: string[]][] = [
    ["a user removes it, on whichever host", "demo", { options: {}, isNamed: true }, [shared]],
    ["dockerd could not make its own for one of other hosts", id.slice(0, 12), { options: {}, isNamed: true }, []],
    ["dockerd could not make one that is new", id.slice(0, 12), { options: {}, isNamed: false }, [shared]],
  ];
  for (const [what, name, docker, gone] of cases) {
    const { networks, records, removed, held } = networksWith(name, docker);
    await networks.remove(id);
    t.same(removed, gone, what);
    t.same(held, gone, "dockerd does not get it back meanwhile");
    t.equal(records.networks.size, 0, "it is not dockerd's any more");
  }
  const { networks, removed } = networksWith("demo", { options: {}, isNamed: true }, true);
  await networks.remove(id);
  t.same(removed, [], "we have dockerd remove what was removed elsewhere");
});
