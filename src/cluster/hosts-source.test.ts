import t from "tap";
import { Inventory } from "../inventory/inventory.js";
import { HostsSource } from "./hosts-source.js";
import { Mirror } from "./mirror.js";
import { keys, type SharedEndpoint } from "./records.js";

const endpointOf = (host: string, network: string, ipv4: string): SharedEndpoint => ({
  id: `${host}-${network}`,
  network,
  host,
  sandbox: `s-${host}`,
  name: "web",
  hostname: "web",
  aliases: ["shop"],
  exposed: [[80, "tcp"]],
  ipv4,
  mac: "02:42:0a:58:00:02",
});

function told() {
  const [mirror, inventory] = [new Mirror(), new Inventory()];
  const source = new HostsSource(inventory.source("hosts"), mirror, "me");
  let revision = 0;
  const hear = (...records: (readonly [key: string, value: unknown])[]) => {
    revision++;
    const changes = records.map(([key, value]) => ({
      key,
      record: value === undefined ? undefined : { key, value, revision },
    }));
    source.tell(mirror.apply({ revision, changes }));
  };
  return { hear, inventory };
}

t.test("sandboxes of other hosts are known while those are in touch, on each of their networks", (t) => {
  const { hear, inventory } = told();
  const [one, two] = [endpointOf("h1", "n1", "10.88.0.2"), endpointOf("h1", "n2", "10.89.0.2")];
  hear([keys.endpoint("n1", "web"), one], [keys.endpoint("n1", "own"), { ...one, id: "o", name: "own", host: "me" }]);
  t.equal(inventory.containers.size, 0, "nobody knows whether it is in touch");
  hear([keys.alive("h1"), { since: "" }]);
  hear([keys.endpoint("n2", "web"), two]);
  const [web, ...others] = [...inventory.containers.values()];
  t.same(others, []);
  t.match(web, { id: "s-h1", source: "hosts", name: "web", running: true, ports: { 0: { 0: 80 } } });
  t.same(
    web?.endpoints.map(({ networkId, ipv4 }) => [networkId, ipv4]),
    [
      ["n1", "10.88.0.2"],
      ["n2", "10.89.0.2"],
    ],
  );
  t.equal(inventory.named("web"), undefined, "it is nothing that could be published here");

  hear([keys.endpoint("n1", "web"), undefined]);
  t.equal(inventory.containers.get("s-h1@hosts")?.endpoints.length, 1);
  hear([keys.alive("h1"), undefined]);
  t.equal(inventory.containers.size, 0, "its names are withdrawn");
  hear([keys.alive("h1"), { since: "" }]);
  t.equal(inventory.containers.size, 1, "and back");
  hear([keys.endpoint("n2", "web"), undefined]);
  t.equal(inventory.containers.size, 0);
  t.end();
});
