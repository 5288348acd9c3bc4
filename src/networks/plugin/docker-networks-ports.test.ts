import t from "tap";
import { pino } from "pino";
import type { DriverNetwork } from "../../inventory/driver-network.js";
import { PontoonError } from "../../../common/errors.js";
import { Queue } from "../queue.js";
import type { Reconciler } from "../reconciler.js";
import { MemoryStore } from "../testing/memory-store.js";
import { registryOf } from "../testing/records.js";
import { DockerNetworks } from "./docker-networks.js";
import { Inventory } from "../../inventory/inventory.js";
import type { PluginParts } from "./parts.js";
import { PluginRegistry } from "./plugin-registry.js";
import { joinCall, labels } from "./protocol.js";
import type { EndpointPorts } from "../../inventory/endpoint-ports.js";
import type { DockerEndpointRecord, DockerNetworkRecord } from "./records.js";
import { dockerNetworkRecord } from "./testing/docker-network.js";

const asked = {
  [labels.portMap]: [{ Proto: 6, IP: "", Port: 80, HostIP: "127.0.0.1", HostPort: 8080, HostPortEnd: 8081 }],
};
const ports = [{ transport: "tcp", containerPort: 80, ip: "127.0.0.1", hostPorts: { first: 8080, last: 8081 } }];

/** Networks whose ports are forwarded by the reconciler's queue, as in the daemon. */
function networksWith(changes: Partial<DockerNetworkRecord> = {}) {
  const network = dockerNetworkRecord(1, changes);
  const endpoint: DockerEndpointRecord = {
    id: "e1",
    network: network.id,
    hostLink: "ptve1",
    mac: "02:42:0a:01:00:02",
    ipv4: "10.1.0.2",
    since: 0,
    ports: [],
  };
  const store = new MemoryStore();
  const records = new PluginRegistry(store);
  records.put("docker-network", network);
  records.put("docker-endpoint", endpoint);
  const queue = new Queue();
  const changed: unknown[] = [];
  const reconciler = {
    command: <Result>(work: () => Promise<Result>) => queue.run(work),
    change: (change: unknown) => Promise.resolve(void changed.push(change)),
  } as unknown as Reconciler;
  const published: EndpointPorts[] = [];
  const gone: string[] = [];
  const renamed: string[] = [];
  const publisher = {
    failure: undefined as Error | undefined,
    publish: (request: EndpointPorts) =>
      queue.run(() => {
        if (publisher.failure) return Promise.reject(publisher.failure);
        return Promise.resolve(void published.push(request));
      }),
    onUnpublished: (): unknown => undefined,
    unpublish: (id: string) =>
      queue.run(() => {
        gone.push(id);
        publisher.onUnpublished();
        return Promise.resolve();
      }),
    published: () => new Set(["e1", "lost", "listed"]),
    move: () => undefined,
    rename: (id: string, name: string) => void renamed.push(`${id} ${name}`),
  };
  const parts: PluginParts = {
    records,
    registry: registryOf({}),
    reconciler,
    docker: {} as PluginParts["docker"],
    defaults: {} as PluginParts["defaults"],
    overlays: {} as PluginParts["overlays"],
    cluster: {} as PluginParts["cluster"],
    log: pino({ enabled: false }),
    onChanged: () => undefined,
  };
  const listed: string[] = []; // what dockerd has
  const around = {
    driverNetworks: () => Promise.resolve([{ endpoints: listed.map((id) => ({ id })) } as unknown as DriverNetwork]),
    ports: publisher,
    inventory: new Inventory(),
    onJoined: () => ({ container: Promise.resolve(undefined), isAnswered: Promise.resolve() }),
  };
  const networks = new DockerNetworks(
    parts,
    around,
    {} as ConstructorParameters<typeof DockerNetworks>[2],
    {} as ConstructorParameters<typeof DockerNetworks>[3],
  );
  const call = { NetworkID: network.id, EndpointID: "e1", SandboxKey: "/run/docker/netns/e1", Options: asked };
  return {
    networks,
    listed,
    store,
    records,
    renamed,
    published,
    gone,
    changed,
    publisher,
    network,
    call: joinCall.parse(call),
  };
}

t.test("ports are those that dockerd asks for when the container leaves by the endpoint", async (t) => {
  const { networks, records, published, call } = networksWith();
  await networks.join(call);
  t.same(published, [], "joining publishes nothing");
  await networks.connectOutside(call);
  t.match(published[0], { endpoint: "e1", to: { ipv4: "10.1.0.2" } });
  t.same(published[0]?.ports, ports, "also where the endpoint was made without");
  records.put("docker-endpoint", { ...records.endpoints.get("e1")!, ports: [{ transport: "udp", containerPort: 53 }] });
  await networks.connectOutside({ ...call, Options: {} });
  t.same(published[1]?.ports, [{ transport: "udp", containerPort: 53 }], "else those it was made with");
});

t.test("ports of an internal network are published with the join, which fails with them", async (t) => {
  const { networks, records, published, changed, publisher, call } = networksWith({
    internal: true,
    publishInternal: true,
  });
  publisher.failure = new Error("taken");
  await t.rejects(networks.join(call), { message: "taken" });
  t.same(changed.at(-1), { removed: { handovers: ["e1"] } }, "the links are taken back");
  t.equal(records.endpoints.get("e1")?.path, undefined);
  publisher.failure = undefined;
  await networks.join(call);
  t.same(published[0]?.ports, ports);
});

t.test("with a network go ports of endpoints that were never deleted", async (t) => {
  const { networks, records, gone, changed, network } = networksWith();
  await networks.delete(network.id);
  t.same(gone, ["e1"]);
  t.same(changed, [{ removed: { networks: [network.id], handovers: ["e1"] } }]);
  t.equal(records.isEmpty, true);
  await networks.delete(network.id);
});

t.test("a container's name is kept; where it cannot be stored, its ports have it all the same", (t) => {
  const { networks, records, store, renamed } = networksWith();
  networks.rename("e1", { id: "c1", name: "web" });
  t.match(records.endpoints.get("e1"), { container: "web", containerId: "c1" });
  networks.rename("e1", { id: "c1", name: "web" });
  networks.rename("unknown", { id: "c1", name: "web" });
  store.failure = new Error("disk full");
  networks.rename("e1", { id: "c1", name: "after" });
  t.same(renamed, ["e1 web", "e1 after"]);
  networks.rename("e1", { id: "c1", name: "after" });
  t.equal(records.endpoints.get("e1")?.container, "after", "it is stored when it is told again");
  t.end();
});

t.test("a port of a container that is gone, and of whom dockerd never told, is free", async (t) => {
  const { networks, listed, records, published, gone, publisher, call } = networksWith();
  const endpoint = records.endpoints.get("e1")!;
  const crashed = { ...endpoint, id: "e0", hostLink: "ptve0", path: "/run/docker/netns/none" };
  records.put("docker-endpoint", endpoint, crashed);
  publisher.failure = new PontoonError("PORT_TAKEN", "tcp port 8080", "taken");
  publisher.onUnpublished = () => (publisher.failure = undefined);
  await networks.connectOutside(call);
  t.same(gone, ["e0"]);
  t.match(published[0], { endpoint: "e1" });
  t.same([...records.endpoints.keys()], ["e1"]);

  publisher.onUnpublished = () => undefined;
  publisher.failure = new PontoonError("PORT_TAKEN", "tcp port 8080", "taken");
  records.put("docker-endpoint", crashed);
  listed.push("e0");
  await t.rejects(networks.connectOutside(call), { message: "taken" });
  t.same(gone, ["e0"], "nobody else's");
});

t.test("a name that becomes known while ports are published is theirs", async (t) => {
  const { networks, published, renamed, call } = networksWith();
  const publishing = networks.connectOutside(call);
  networks.rename("e1", { id: "c1", name: "web" });
  renamed.length = 0; // nothing is published yet that could be called otherwise
  await publishing;
  t.equal(published[0]?.container, "e1");
  t.same(renamed, ["e1 web"]);
});

t.test("ports of endpoints that neither the store nor dockerd has are freed", async (t) => {
  const { networks, gone } = networksWith();
  await networks.freeUnknown(new Set(["listed"]));
  t.same(gone, ["lost"]);
});
