import t from "tap";
import { refusalOf } from "../testing/records.js";
import { defineDockerEndpoint, gatewaysOf, wantedHandover } from "./docker-endpoint.js";
import { createEndpointCall } from "./protocol.js";
import { dockerNetworkRecord } from "./testing/docker-network.js";

const id = "cd".repeat(32);
const subnets = [
  { subnet: "10.9.0.0/24", gateway: "10.9.0.1" },
  { subnet: "10.9.1.0/24", gateway: "10.9.1.254" },
  { subnet: "fd09::/64", gateway: "fd09::1" },
];
const network = dockerNetworkRecord(9, { name: "web", subnets });

const defined = (Interface: object | null, Options?: object, on = network) =>
  defineDockerEndpoint(createEndpointCall.parse({ NetworkID: on.id, EndpointID: id, Interface, Options }), on, 7);

t.test("a place is where dockerd says", (t) => {
  t.same(defined({ Address: "10.9.0.2/24", AddressIPv6: "", MacAddress: "" }), {
    id,
    network: network.id,
    hostLink: "ptvcdcdcdcdcdcd",
    mac: "02:42:0a:09:00:02",
    ipv4: "10.9.0.2",
    since: 7,
    ports: [],
  });
  const named = defined(
    { Address: "10.9.1.2/24", AddressIPv6: "fd09::2/64", MacAddress: "02:00:5E:00:00:AA" },
    { "com.docker.network.endpoint.ifname": "lan0", "com.docker.network.portmap": [{ Proto: 6, Port: 80 }] },
  );
  t.match(named, { mac: "02:00:5e:00:00:aa", ipv4: "10.9.1.2", ipv6: "fd09::2", ifname: "lan0" });
  t.same(named.ports, [{ transport: "tcp", containerPort: 80 }]);
  t.same(gatewaysOf(named, network), { ipv4: "10.9.1.254", ipv6: "fd09::1" });
  t.same(gatewaysOf(named, { ...network, routers: { ipv4: "10.9.0.7" } }), { ipv4: "10.9.0.7", ipv6: "fd09::1" });
  const only6 = defined({ AddressIPv6: "fd09::2/64" });
  t.same([only6.ipv4, only6.ipv6], [undefined, "fd09::2"]);
  t.same(gatewaysOf(only6, network), { ipv6: "fd09::1" });
  t.end();
});

t.test("what cannot be is refused", (t) => {
  for (const none of [null, {}, { Address: "", AddressIPv6: null }])
    t.same(
      refusalOf(() => defined(none)),
      [
        "ENDPOINT_WITHOUT_ADDRESS",
        "the container has no address on network web: its IPAM driver gives none; use --ipam-driver default or pontoon",
      ],
    );
  for (const Address of ["10.8.0.2/24", "foo", "0.0.0.0/0", "fd08::1/64"])
    t.equal(refusalOf(() => defined({ Address }))[0], "ADDRESS_OUTSIDE", Address);
  for (const MacAddress of ["foo", "01:00:5e:00:00:01", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "02:42:0a:09:00"])
    t.equal(refusalOf(() => defined({ Address: "10.9.0.2/24", MacAddress }))[0], "MAC_INVALID", MacAddress);
  t.end();
});

t.test("on a LAN a link has a MAC address of its own, or its parent's", (t) => {
  const lan = { parent: "eth0", hostAddresses: ["10.9.0.7"], needsAddress: false };
  const macvlan = { ...network, lan: { ...lan, child: { kind: "macvlan", mode: "bridge" } } } as const;
  const ipvlan = { ...network, lan: { ...lan, child: { kind: "ipvlan", mode: "l2" } } } as const;
  const define = (on: typeof network, fields: object = {}) =>
    defined({ Address: "10.9.0.2/24", ...fields }, undefined, on);
  t.equal(define(macvlan).mac, "02:42:0a:09:00:02");
  t.equal(define(ipvlan).mac, "");
  t.equal(wantedHandover(define(ipvlan), ipvlan).mac, undefined);
  t.throws(() => define(ipvlan, { MacAddress: "02:00:00:00:00:01" }), { code: "MAC_SHARED" });
  t.throws(() => define(macvlan, { Address: "10.9.0.7/24" }), {
    code: "ADDRESS_TAKEN",
    message: /--aux-address host=10\.9\.0\.7/,
  });
  t.end();
});

t.test("a bandwidth among the options of a container's network", (t) => {
  const limited = (bandwidth: unknown, on = network) =>
    defined({ Address: "10.9.0.2/24" }, { "pontoon.bandwidth": bandwidth }, on);
  const bandwidth = { toSandbox: { rate: 10e6 }, fromSandbox: { rate: 1e6 } };
  t.same(limited("10mbit/1mbit").bandwidth, bandwidth);
  t.same(wantedHandover(limited("10mbit/1mbit"), network).bandwidth, bandwidth);
  t.equal(limited(null).bandwidth, undefined);
  t.throws(() => limited("10M"), { code: "BANDWIDTH_INVALID" });
  t.throws(() => limited(10), { code: "OPTION_INVALID", message: /write it as 10mbit\/1mbit/ });
  const lan = { parent: "eth0", hostAddresses: [], needsAddress: false };
  const macvlan = { ...network, lan: { ...lan, child: { kind: "macvlan", mode: "bridge" } } } as const;
  t.throws(() => limited("10mbit", macvlan), { code: "BANDWIDTH_UNFIT" });
  t.end();
});

t.test("what it means for the kernel", (t) => {
  const endpoint = { ...defined({ Address: "10.9.0.2/24" }), path: "/var/run/docker/netns/abc" };
  t.same(wantedHandover(endpoint, { ...network, mtu: 1400 }), {
    id,
    network: network.id,
    hostLink: "ptvcdcdcdcdcdcd",
    peer: "ptccdcdcdcdcdcd",
    mac: "02:42:0a:09:00:02",
    ips: ["10.9.0.2"],
    mtu: 1400,
    group: 0,
    path: "/var/run/docker/netns/abc",
  });
  t.not(
    wantedHandover(endpoint, { ...network, firewall: true, icc: false }).group,
    0,
    "its neighbours do not reach it",
  );
  t.equal(wantedHandover(endpoint, { ...network, firewall: false, icc: false }).group, 0);
  t.end();
});
