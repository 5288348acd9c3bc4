import t from "tap";
import { refusalOf } from "../testing/records.js";
import { createdNetwork, netavarkRequest, parseNetavarkExec, parseNetavarkNetwork } from "./netavark.js";

const network = {
  name: "podnet",
  id: "2f25",
  driver: "pontoon",
  network_interface: null,
  subnets: null,
  ipv6_enabled: false,
  internal: false,
  dns_enabled: false,
  ipam_options: { driver: "none" },
  options: { network: "front" },
};
const told = (fields: object = {}) =>
  parseNetavarkExec(
    JSON.stringify({
      container_id: "752947",
      container_name: "web",
      port_mappings: null,
      network,
      network_options: { interface_name: "eth0", aliases: null, static_ips: null, static_mac: null },
      ...fields,
    }),
  );

t.test("a container with nothing but a name, and one with everything", (t) => {
  t.same(netavarkRequest(told(), "/run/netns/x"), {
    engine: "netavark",
    container: "752947",
    attachment: "podnet",
    ifname: "eth0",
    netns: "/run/netns/x",
    network: "front",
    name: "web",
    ips: [],
    mac: undefined,
    aliases: [],
    ports: [],
    dns: { servers: [], search: [], options: [] },
  });
  const network_options = {
    interface_name: "eth1",
    aliases: ["752947ff"],
    static_ips: ["10.1.0.9"],
    static_mac: "aa:bb:cc:dd:aa:00",
  };
  const port_mappings = [
    { container_port: 80, host_ip: "", host_port: 8080, protocol: "tcp,udp", range: 1 },
    { container_port: 90, host_ip: "127.0.0.1", host_port: 90, protocol: "tcp", range: 2 },
  ];
  const asked = netavarkRequest(told({ network_options, port_mappings }), "/run/netns/x");
  t.match(asked, { ifname: "eth1", mac: "aa:bb:cc:dd:aa:00" });
  t.same([asked.ips, asked.aliases], [["10.1.0.9"], ["752947ff"]]);
  t.same(asked.ports, [
    { transport: "tcp", containerPort: 80, hostPorts: { first: 8080, last: 8080 } },
    { transport: "udp", containerPort: 80, hostPorts: { first: 8080, last: 8080 } },
    { transport: "tcp", containerPort: 90, hostPorts: { first: 90, last: 90 }, ip: "127.0.0.1" },
    { transport: "tcp", containerPort: 91, hostPorts: { first: 91, last: 91 }, ip: "127.0.0.1" },
  ]);
  t.end();
});

t.test("a network that is created keeps what is podman's, and has its addresses from pontoon", (t) => {
  t.same(createdNetwork(parseNetavarkNetwork(JSON.stringify({ ...network, ipam_options: {}, dns_enabled: true }))), {
    ...network,
    network_dns_servers: [],
    ipam_options: { driver: "none" },
  });
  t.end();
});

t.test("what makes no sense is refused", (t) => {
  const mapping = { container_port: 80, host_ip: "", host_port: 8080, protocol: "tcp", range: 1 };
  const withPorts = (...port_mappings: object[]) => netavarkRequest(told({ port_mappings }), "/run/netns/x");
  const cases: (() => unknown)[] = [
    () => parseNetavarkExec("{"),
    () => parseNetavarkExec("{}"),
    () => netavarkRequest(told(), ""),
    () => told({ container_id: "../x" }),
    () => withPorts({ ...mapping, protocol: "icmp" }),
    () => withPorts({ ...mapping, host_port: 65_535, range: 2 }),
    () => withPorts({ ...mapping, host_port: 1, container_port: 1, range: 16_385 }),
    () => createdNetwork(parseNetavarkNetwork(JSON.stringify({ ...network, subnets: [{ subnet: "10.0.0.0/16" }] }))),
  ];
  for (const work of cases) {
    const [code, message] = refusalOf(work);
    t.equal(code, "NETAVARK_CALL_INVALID", message);
  }
  t.end();
});
