import { pino } from "pino";
import t, { type Test } from "tap";
import type { Publication } from "../../proxy/publication/publication.js";
import { defaultSourcePorts } from "../../proxy/dial/source-ports.js";
import { hasIPv6 } from "./bind.js";
import { Inventory } from "../inventory/inventory.js";
import { closeDescriptor } from "../../linux/socket.js";
import { openDescriptors } from "../../linux/testing/loop.js";
import type { EndpointPorts } from "../inventory/endpoint-ports.js";
import { EndpointPublisher } from "./endpoint-publisher.js";
import { PortBinder } from "./port-binder.js";
import type { PublishedPort } from "./published-port.js";
import { PublishedPorts } from "./published-ports.js";

const ip = "127.0.0.1";
/** Away from what the kernel chooses, and from other runs. */
const first = 10_000 + (process.pid % 20_000);

function bench(t: Test) {
  const descriptors = new Map<string, number>();
  const served = new Map<string, Publication>();
  const state = {
    saved: [] as readonly PublishedPort[],
    refusal: undefined as Error | undefined,
    vacated: [] as number[],
    told: [] as string[],
  };
  const proxy = {
    open: (publication: Publication, descriptor: number) => {
      descriptors.set(publication.id, descriptor);
      if (state.refusal) return Promise.reject(state.refusal);
      served.set(publication.id, publication);
      return Promise.resolve();
    },
    close: (id: string) => {
      served.delete(id);
      const descriptor = descriptors.get(id);
      if (descriptors.delete(id)) closeDescriptor(descriptor!);
      return Promise.resolve();
    },
    retarget: (_: string, target: { ip: string } | undefined) => void state.told.push(`to ${target?.ip ?? "nowhere"}`),
    gone: (ips: readonly string[]) => void state.told.push(`gone ${ips.join(" ")}`),
    vacate: (ports: readonly number[]) => Promise.resolve(void state.vacated.push(...ports)),
  };
  const ports = new PublishedPorts(
    new Inventory(),
    proxy,
    { load: () => [], save: (all) => void (state.saved = all) },
    { drainMs: 0, sourcePorts: defaultSourcePorts },
    pino({ level: "silent" }),
  );
  t.teardown(() => ports.remove(ports.all));
  return { state, served, ports, publisher: new EndpointPublisher(ports, new PortBinder(ports, undefined)) };
}

const request = (given: Partial<EndpointPorts> = {}): EndpointPorts => ({
  endpoint: "e1",
  container: "web",
  to: { ipv4: "10.1.0.2" },
  hostBinding: ip,
  ports: [{ transport: "tcp", containerPort: 80, hostPorts: { first, last: first } }],
  ...given,
});
const exactly = (port: number, containerPort = 80) => ({
  transport: "tcp" as const,
  containerPort,
  hostPorts: { first: port, last: port },
});

t.test("an endpoint's ports lead to its own address, and go with it", async (t) => {
  const { publisher, served, state, ports } = bench(t);
  await publisher.publish(request());
  t.match(served.get(`tcp ${ip} ${first}`), {
    target: { ip: "10.1.0.2", port: 80 },
    owner: { container: "web", containerPort: 80, source: "driver", endpoint: { id: "e1", ipv4: "10.1.0.2" } },
  });
  t.equal(state.saved.length, 1, "they are remembered");
  await publisher.publish(request({ ports: [exactly(first + 1)] }));
  t.equal(ports.all.length, 1, "asked for again, it has them already");
  publisher.rename("e1", "after");
  t.equal(state.saved[0]?.container, "after");
  publisher.rename("e2", "other");
  t.equal(ports.all[0]?.port.container, "after");
  await publisher.unpublish("e2");
  t.equal(ports.all.length, 1, "another one's stay");
  await publisher.unpublish("e1");
  await publisher.unpublish("e1");
  t.same([ports.all, state.saved, served.size], [[], [], 0]);
});

t.test("an endpoint that is at another address, or at none for a while", async (t) => {
  const { publisher, state } = bench(t);
  await publisher.publish(request());
  await publisher.publish(request({ endpoint: "e2", ports: [exactly(first + 1)] }));
  publisher.move("e1", { ipv4: "10.1.0.2" });
  t.same(state.told, [], "where it was before");
  publisher.move("e1", {});
  publisher.move("e1", { ipv4: "10.1.0.7" });
  t.same(state.told, ["to nowhere", "gone 10.1.0.2", "to 10.1.0.7"]);
  t.same(
    state.saved.map(({ endpoint }) => endpoint),
    [
      { id: "e1", ipv4: "10.1.0.7" },
      { id: "e2", ipv4: "10.1.0.2" },
    ],
    "it is remembered, and others stay",
  );
  publisher.move("nosuch", {});
});

t.test("ports that name no address are bound at every one", async (t) => {
  const { publisher, ports } = bench(t);
  await publisher.publish(request({ hostBinding: undefined, to: { ipv4: "10.1.0.2", ipv6: "fd01::2" } }));
  const ways = ports.all.map(({ port, target }) => `${port.ip} ${target?.ip}`);
  t.same(ways, ["0.0.0.0 10.1.0.2", ...(hasIPv6() ? [":: fd01::2"] : [])]);
  await publisher.unpublish("e1");
  const named = { ...exactly(first), ip };
  await publisher.publish(request({ hostBinding: undefined, ports: [named] }));
  t.same(
    ports.all.map(({ port }) => port.ip),
    [ip],
    "and one that is named there only",
  );
});

t.test("one of a range, or any, is chosen", async (t) => {
  const { publisher, ports, state } = bench(t);
  const hostPorts = { first, last: first + 2 };
  const ranged = (containerPort: number) => ({ transport: "udp" as const, containerPort, hostPorts });
  await publisher.publish(request({ ports: [ranged(80), ranged(81)] }));
  await publisher.publish(request({ endpoint: "e2", ports: [ranged(80)] }));
  t.same(
    ports.all.map(({ port }) => port.hostPort),
    [first, first + 1, first + 2],
  );
  t.ok(state.vacated.length === 0 || state.vacated.includes(first), "flows that are sent from them are given up");
  await t.rejects(publisher.publish(request({ endpoint: "e3", ports: [ranged(80)] })), {
    code: "PORT_TAKEN",
    message: `no udp port from ${first} to ${first + 2} of ${ip} is free; choose others`,
  });
  await publisher.publish(request({ endpoint: "e3", ports: [{ transport: "tcp", containerPort: 80 }] }));
  t.ok((ports.all.at(-1)?.port.hostPort ?? 0) > 0);
});

t.test("all or none, and who has the port is told", async (t) => {
  const { publisher, ports, state } = bench(t);
  await publisher.publish(request());
  const before = openDescriptors();
  const refusal = (given: Partial<EndpointPorts>) =>
    publisher.publish(request({ endpoint: "e2", container: "db", ...given }));
  const isTaken = {
    code: "PORT_TAKEN",
    message: `tcp port ${first} is taken: pontoon publishes it for web (80/tcp); choose another`,
  };
  await t.rejects(refusal({ ports: [exactly(first + 1), exactly(first)] }), isTaken);
  await t.rejects(
    refusal({ hostBinding: "0.0.0.0", ports: [exactly(first + 1), exactly(first)] }),
    isTaken,
    "an address that covers it",
  );
  await t.rejects(refusal({ ports: [exactly(first + 1), exactly(first + 1, 81)] }), {
    message: `tcp port ${first + 1} is taken: pontoon publishes it for db (80/tcp); choose another`,
  });
  await t.rejects(refusal({ ports: [exactly(first + 1), { transport: "sctp", containerPort: 80 }] }), {
    code: "NOT_PUBLISHABLE",
    message:
      "pontoon forwards TCP and UDP, not SCTP (80/sctp); use a network that was made with -o pontoon.ports=docker",
  });
  state.refusal = new Error("pontoon-proxy is not running");
  await t.rejects(refusal({ ports: [exactly(first + 1)] }), state.refusal);
  state.refusal = undefined;
  t.equal(ports.all.length, 1);
  t.equal(state.saved.length, 1);
  t.equal(openDescriptors(), before, "no socket is left");
  await refusal({ ports: [exactly(first + 1)] });
  t.equal(ports.all.length, 2);
});
