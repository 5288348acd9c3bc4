// What podman and netavark do with a plugin of netavark's, as its document says.
import t from "tap";
import { BareHost } from "../lab/index.js";
import { run } from "../networks/host.js";
import { addressOf, callNetavark, makeNamespaces } from "./engine.js";

const network = {
  name: "podnet",
  id: "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9",
  driver: "pontoon",
  ipv6_enabled: false,
  internal: false,
  dns_enabled: true,
  ipam_options: { driver: "" },
  options: { network: "front" },
};

const told = (name: string, fields: object = {}) => ({
  container_id: Buffer.from(name.padEnd(32)).toString("hex"),
  container_name: name,
  port_mappings: null,
  network,
  network_options: { interface_name: "eth0", aliases: [`${name}-alias`], static_ips: null, static_mac: null },
  ...fields,
});

t.test("create, setup and teardown", async (t) => {
  const host = await BareHost.start(t);
  await host.outside();
  const pontoon = await host.pontoon();
  t.match(await callNetavark(host, ["info"], {}), { exitCode: 0, answer: { api_version: "1.0.0" } });
  t.match(await callNetavark(host, ["create"], network), {
    exitCode: 1,
    answer: { error: /there is no network front/ },
  });
  await run(pontoon, "network create front --subnet 10.66.0.0/24");
  const created = await callNetavark(host, ["create"], network);
  t.match(created, { exitCode: 0, answer: { id: network.id, ipam_options: { driver: "none" }, dns_enabled: false } });

  const [one, two] = await makeNamespaces(host, "one", "two");
  const port_mappings = [{ container_port: 80, host_ip: "", host_port: 8080, protocol: "tcp", range: 1 }];
  const web = told("web", { port_mappings });
  const up = await callNetavark(host, ["setup", one!], web);
  t.equal(up.exitCode, 0);
  t.match(up.answer, { dns_server_ips: { length: 1, 0: "127.0.0.11" } });
  t.match(up.answer["interfaces"], {
    eth0: { mac_address: /^02:42:/, subnets: { length: 1, 0: { ipnet: "10.66.0.2/24", gateway: "10.66.0.1" } } },
  });
  const network_options = {
    interface_name: "eth0",
    aliases: [],
    static_ips: ["10.66.0.9"],
    static_mac: "02:00:00:00:00:09",
  };
  const fixed = await callNetavark(host, ["setup", two!], told("db", { network_options }));
  t.match(fixed.answer["interfaces"], {
    eth0: { mac_address: "02:00:00:00:00:09", subnets: { 0: { ipnet: "10.66.0.9/24" } } },
  });
  t.equal(await addressOf(host, two!, "web"), "10.66.0.2");
  t.equal(await addressOf(host, two!, "web-alias"), "10.66.0.2");
  t.equal(await addressOf(host, one!, "db"), "10.66.0.9");
  t.match(JSON.parse(await run(pontoon, "port --json")), { length: 2, 0: { container: "web", hostPort: 8080 } });

  t.match(await callNetavark(host, ["setup", one!], web), {
    exitCode: 1,
    answer: { error: /on network front already/ },
  });
  t.same(await callNetavark(host, ["teardown", one!], web), { exitCode: 0, answer: {} });
  t.same(await callNetavark(host, ["teardown", one!], web), { exitCode: 0, answer: {} }, "there is nothing any more");
  t.equal(await run(pontoon, "port --json"), "[]");
  t.same(await callNetavark(host, ["teardown", two!], told("db")), { exitCode: 0, answer: {} });
  t.equal(await run(pontoon, "sandbox ls --json"), "[]");
  t.equal(await pontoon.stop(), 0);
  t.match(await callNetavark(host, ["setup", one!], web), {
    exitCode: 1,
    answer: { error: /no pontoon daemon answers/ },
  });
});
