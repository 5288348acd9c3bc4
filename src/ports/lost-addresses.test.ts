import t from "tap";
import { Inventory } from "../inventory/inventory.js";
import { container, endpoint, network } from "../inventory/testing/containers.js";
import { LostAddresses } from "./lost-addresses.js";

/** What is told of when containers change. */
class Bench {
  readonly inventory = new Inventory();
  readonly #lost: string[] = [];

  constructor() {
    for (const id of ["n1", "n2"]) this.inventory.source("docker").putNetwork(network(id));
    new LostAddresses(this.inventory, (addresses) => this.#lost.push(...addresses));
  }

  put(id: string, addresses: Record<string, string>, running = true): string[] {
    this.inventory
      .source("docker")
      .putContainer(
        container(id, { running, endpoints: Object.entries(addresses).map(([of, ip]) => endpoint(of, ip)) }),
      );
    return this.told();
  }

  told(): string[] {
    return this.#lost.splice(0);
  }
}

t.test("whoever ends, leaves a network or is gone has lost its addresses there", (t) => {
  const bench = new Bench();
  t.same(bench.put("web", { n1: "10.0.0.2", n2: "10.0.1.2" }), []);
  t.same(bench.put("web", { n1: "10.0.0.2" }), ["10.0.1.2"], "it has left a network");
  t.same(bench.put("web", { n1: "10.0.0.2" }, false), ["10.0.0.2"], "it has ended, and has not left its network yet");
  t.same(bench.put("web", {}, false), []);
  t.same(bench.put("web", { n1: "10.0.0.2" }, false), [], "it is about to start");
  t.same(bench.put("web", { n1: "10.0.0.2" }), []);
  bench.inventory.source("docker").removeEndpoint("web", "n1");
  t.same(bench.told(), ["10.0.0.2"], "it is disconnected");
  bench.put("web", { n1: "10.0.0.3" });
  bench.inventory.source("docker").removeContainer("web");
  t.same(bench.told(), ["10.0.0.3"], "it is removed");
  t.end();
});

t.test("a network more, another name, or another state of what stays loses nothing", (t) => {
  const bench = new Bench();
  bench.put("web", { n1: "10.0.0.2" });
  t.same(bench.put("web", { n1: "10.0.0.2", n2: "10.0.1.2" }), []);
  bench.inventory
    .source("docker")
    .putContainer(
      container("web", { name: "other", endpoints: [endpoint("n1", "10.0.0.2"), endpoint("n2", "10.0.1.2")] }),
    );
  t.same(bench.told(), []);
  t.end();
});

t.test("an address that has become another's is lost once, whoever is seen first", (t) => {
  const bench = new Bench();
  bench.put("web", { n1: "10.0.0.2" });
  t.same(bench.put("thief", { n1: "10.0.0.2" }), ["10.0.0.2"], "the other is seen first");
  t.same(bench.put("web", { n1: "10.0.0.2" }), []);
  t.same(bench.put("web", {}), [], "it is not its own any more");
  t.same(bench.put("thief", { n1: "10.0.0.2", n2: "10.0.1.9" }), []);
  t.same(bench.put("thief", {}), ["10.0.0.2", "10.0.1.9"]);
  t.end();
});

t.test("both families count", (t) => {
  const bench = new Bench();
  bench.inventory
    .source("docker")
    .putContainer(container("web", { endpoints: [endpoint("n1", "10.0.0.2", { ipv6: "fd00::2" })] }));
  bench.inventory.source("docker").putContainer(container("web", { endpoints: [endpoint("n1", "10.0.0.2")] }));
  t.same(bench.told(), ["fd00::2"]);
  t.end();
});

t.test("an address on docker_gwbridge is lost as any other", (t) => {
  const bench = new Bench();
  const gateway = (...listed: [string, string][]) => {
    bench.inventory.source("docker").putGateways(
      network("gw", { name: "docker_gwbridge" }),
      listed.map(([id, ipv4]) => ({ container: id, name: "", ipv4, ipv6: undefined })),
    );
    return bench.told();
  };
  bench.put("far", { n1: "10.0.0.2" });
  t.same(gateway(["far", "172.18.0.3"]), []);
  t.same(gateway(["far", "172.18.0.4"]), ["172.18.0.3"]);
  t.same(bench.put("far", { n1: "10.0.0.2" }, false).sort(), ["10.0.0.2", "172.18.0.4"], "it has ended");
  bench.put("near", { n2: "10.0.1.2" });
  gateway(["near", "172.18.0.4"]);
  bench.inventory.source("docker").removeGateway("near");
  t.same(bench.told(), ["172.18.0.4"], "it has another way now");
  t.end();
});
