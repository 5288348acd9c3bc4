import t from "tap";
import { createSandboxRequest } from "./contract.js";
import { addressPool, defaultPools } from "../../network/addresses/pools.js";
import {
  defaultNetworkRequest,
  overlayPools,
  overlayPoolsApart,
  withSandboxDefaults,
  type NetworkDefaults,
} from "./network-defaults.js";

const nothing: NetworkDefaults = {
  bridge: undefined,
  subnet: undefined,
  gateway: undefined,
  ipRange: undefined,
  icc: true,
  masquerade: true,
  mtu: undefined,
  pools: { ipv4: [], ipv6: [] },
  firewall: true,
  firewalldZone: "trusted",
  forwarding: true,
  dns: { servers: [], search: [], options: [] },
};

t.test("the network default is as it is configured", (t) => {
  t.match(defaultNetworkRequest(nothing), { name: "default", bridge: "pontoon0", icc: true, masquerade: true });
  t.same(defaultNetworkRequest(nothing).subnets, []);
  const given = { bridge: "br0", subnet: "10.1.0.0/16", gateway: "10.1.0.9", ipRange: "10.1.7.0/24", icc: false };
  const request = defaultNetworkRequest({ ...nothing, ...given, masquerade: false });
  t.match(request, { bridge: "br0", icc: false, masquerade: false });
  t.same([request.subnets, request.gateways, request.ipRanges], [["10.1.0.0/16"], ["10.1.0.9"], ["10.1.7.0/24"]]);
  t.throws(() => defaultNetworkRequest({ ...nothing, bridge: "none" }), { code: "NETWORK_OFF" });
  t.end();
});

t.test("networks of several hosts have subnets that no host gives its own, unless it is configured", (t) => {
  const ipv4Of = (pools: NetworkDefaults["pools"]) =>
    overlayPools({ pools }, "seed").ipv4.map(({ base, size }) => `${base.text} ${size}`);
  t.same(ipv4Of({ ipv4: defaultPools, ipv6: [] }), ["10.0.0.0/8 24"]);
  t.same(ipv4Of({ ipv4: [addressPool("192.0.2.0/24", 28)], ipv6: [] }), ["192.0.2.0/24 28"]);
  t.end();
});

t.test("hosts begin to choose in different places, unless it is configured", (t) => {
  const ipv4Of = (pools: NetworkDefaults["pools"], host: string) =>
    overlayPoolsApart({ pools }, "seed", host).ipv4.map(({ base, size }) => `${base.text} ${size}`);
  const usual = { ipv4: defaultPools, ipv6: [] };
  t.same(ipv4Of(usual, "00ab"), ["10.0.0.0/16 24", "10.0.0.0/8 24"]);
  t.same(ipv4Of(usual, "ffab"), ["10.255.0.0/16 24", "10.0.0.0/8 24"]);
  t.same(ipv4Of({ ipv4: [addressPool("192.0.2.0/24", 28)], ipv6: [] }, "ffab"), ["192.0.2.0/24 28"]);
  t.end();
});

t.test("what a sandbox names itself counts, key by key", (t) => {
  const dns = { servers: ["192.0.2.1"], search: ["a.example"], options: ["ndots:2"] };
  const asked = (request: object) => {
    const {
      dns: servers,
      dnsSearch,
      dnsOptions,
    } = withSandboxDefaults(createSandboxRequest.parse({ name: "web", ...request }), { ...nothing, dns });
    return [servers, dnsSearch, dnsOptions];
  };
  t.same(asked({}), [["192.0.2.1"], ["a.example"], ["ndots:2"]]);
  t.same(asked({ dns: ["192.0.2.9"] }), [["192.0.2.9"], ["a.example"], ["ndots:2"]]);
  t.same(asked({ dnsSearch: ["."] }), [["192.0.2.1"], ["."], ["ndots:2"]]);
  t.same(asked({ dnsOptions: ["rotate"] }), [["192.0.2.1"], ["a.example"], ["rotate"]]);
  t.end();
});
