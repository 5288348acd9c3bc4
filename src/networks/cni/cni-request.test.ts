import t from "tap";
import { refusalOf } from "../testing/records.js";
import { parseCniCall, parseCniConfig } from "./cni-config.js";
import { cniKey, cniRequest } from "./cni-request.js";

const call = (fields: object = {}) =>
  parseCniCall({ command: "ADD", container: "abc123", netns: "/run/netns/x", ifname: "eth0", ...fields });
const config = (fields: object = {}) =>
  parseCniConfig(JSON.stringify({ cniVersion: "1.0.0", name: "shop", type: "pontoon", network: "front", ...fields }));

t.test("a call with nothing but what has to be", (t) => {
  t.same(cniRequest(call(), config()), {
    engine: "cni",
    container: "abc123",
    attachment: "shop",
    ifname: "eth0",
    netns: "/run/netns/x",
    network: "front",
    name: undefined,
    ips: [],
    mac: undefined,
    aliases: [],
    ports: [],
    dns: { servers: [], search: [], options: [] },
  });
  t.equal(
    cniRequest(call(), config({ network: undefined })).network,
    "shop",
    "the configuration's own name is the network's",
  );
  t.end();
});

t.test("what is asked for by CNI's conventions, of which runtimeConfig counts first", (t) => {
  const args = "IgnoreUnknown=1;K8S_POD_NAME=web;IP=10.1.0.9;MAC=02:00:00:00:00:01";
  const byArgs = cniRequest(call({ args }), config());
  t.same([byArgs.name, byArgs.ips, byArgs.mac], ["web", ["10.1.0.9"], "02:00:00:00:00:01"]);
  t.same(cniRequest(call(), config({ args: { cni: { ips: ["10.1.0.8/16"] } } })).ips, ["10.1.0.8"]);
  const runtimeConfig = {
    ips: ["10.1.0.7/24", "fd00::7/64"],
    mac: "02:00:00:00:00:02",
    aliases: { shop: ["a", "b"], other: ["c"] },
  };
  const asked = cniRequest(call({ args }), config({ runtimeConfig }));
  t.same([asked.ips, asked.mac, asked.aliases], [["10.1.0.7", "fd00::7"], "02:00:00:00:00:02", ["a", "b"]]);
  t.same(cniRequest(call(), config({ runtimeConfig: { aliases: ["d"] } })).aliases, ["d"]);
  t.end();
});

t.test("ports: those with a port of the host, each with its protocol", (t) => {
  const portMappings = [
    { hostPort: 8080, containerPort: 80, protocol: "TCP" },
    { hostPort: 5353, containerPort: 53, protocol: "udp", hostIP: "127.0.0.1" },
    { hostPort: 0, containerPort: 81, protocol: "tcp" },
    { containerPort: 82 },
    { hostPort: 90, containerPort: 90, hostIP: "" },
  ];
  t.same(cniRequest(call(), config({ runtimeConfig: { portMappings } })).ports, [
    { transport: "tcp", containerPort: 80, hostPorts: { first: 8080, last: 8080 } },
    { transport: "udp", containerPort: 53, hostPorts: { first: 5353, last: 5353 }, ip: "127.0.0.1" },
    { transport: "tcp", containerPort: 90, hostPorts: { first: 90, last: 90 } },
  ]);
  t.end();
});

t.test("DNS: for one container before that of the conflist, and a domain is searched", (t) => {
  const dns = { nameservers: ["192.0.2.1"], domain: "corp.example", options: ["ndots:2"] };
  t.same(cniRequest(call(), config({ dns })).dns, {
    servers: ["192.0.2.1"],
    search: ["corp.example"],
    options: ["ndots:2"],
  });
  const runtimeConfig = { dns: { servers: ["192.0.2.2"], searches: ["a.example"] } };
  t.same(cniRequest(call(), config({ dns, runtimeConfig })).dns, {
    servers: ["192.0.2.2"],
    search: ["a.example"],
    options: ["ndots:2"],
  });
  t.end();
});

t.test("bandwidth: bits and bits a second, ingress to the container; bursts that mean nothing are none", (t) => {
  const asked = (bandwidth: object) => cniRequest(call(), config({ runtimeConfig: { bandwidth } })).bandwidth;
  t.same(asked({ ingressRate: 10e6, ingressBurst: 8e6, egressRate: 1e6, egressBurst: 800_000 }), {
    toSandbox: { rate: 10e6, burst: 1e6 },
    fromSandbox: { rate: 1e6, burst: 100_000 },
  });
  t.same(asked({ ingressRate: 10e6 }), { toSandbox: { rate: 10e6 } });
  t.same(asked({ egressRate: 1e6, egressBurst: null }), { fromSandbox: { rate: 1e6 } });
  for (const burst of [2 ** 31 - 1, 2 ** 32 - 1, 2 ** 64, 0])
    t.same(asked({ ingressRate: 10e6, ingressBurst: burst }), { toSandbox: { rate: 10e6 } }, `a burst of ${burst}`);
  for (const nothing of [{}, { ingressRate: 0, egressRate: 0 }, { ingressBurst: 800_000 }])
    t.equal(asked(nothing), undefined);
  for (const rate of [1, 7999, 2 ** 41]) t.throws(() => asked({ egressRate: rate }), { code: "BANDWIDTH_INVALID" });
  for (const wrong of [{ ingressRate: -1 }, { ingressRate: "10M" }, { egressBurst: [] }, "10M"])
    t.throws(() => config({ runtimeConfig: { bandwidth: wrong } }), { code: "CNI_CONFIG_INVALID" });
  t.end();
});

t.test("null is as good as nothing: Go writes it for what is empty", (t) => {
  const nulls = {
    runtimeConfig: { portMappings: null, ips: null, mac: null, aliases: null, dns: null, bandwidth: null },
    args: null,
    dns: null,
    prevResult: null,
  };
  t.same(cniRequest(call(), config(nulls)), cniRequest(call(), config()));
  t.end();
});

t.test("what makes no sense is refused with its reason", (t) => {
  const cases: [what: () => unknown, code: string][] = [
    [() => parseCniConfig("{"), "CNI_CONFIG_UNREADABLE"],
    [() => parseCniConfig("[]"), "CNI_CONFIG_INVALID"],
    [() => parseCniConfig("null"), "CNI_CONFIG_INVALID"],
    [() => config({ name: "../etc" }), "CNI_CONFIG_INVALID"],
    [() => config({ runtimeConfig: { ips: ["10.1.0.300"] } }), "CNI_CONFIG_INVALID"],
    [() => config({ runtimeConfig: { portMappings: [{ hostPort: 70000, containerPort: 1 }] } }), "CNI_CONFIG_INVALID"],
    [
      () => config({ runtimeConfig: { portMappings: [{ hostPort: 7, containerPort: 1, protocol: "icmp" }] } }),
      "CNI_CONFIG_INVALID",
    ],
    [() => config({ cniVersion: "0.2.0" }), "CNI_VERSION_UNKNOWN"],
    [() => config({ cniVersion: undefined }), "CNI_VERSION_UNKNOWN"],
    [() => call({ command: "MEND" }), "CNI_CALL_INVALID"],
    [() => call({ container: "a/b" }), "CNI_CALL_INVALID"],
    [() => cniKey(call({ container: "" }), config()), "CNI_CALL_INVALID"],
    [() => cniKey(call({ ifname: "" }), config()), "CNI_CALL_INVALID"],
    [() => cniRequest(call({ netns: "" }), config()), "CNI_CALL_INVALID"],
    [() => cniRequest(call({ args: "IP" }), config()), "CNI_CALL_INVALID"],
    [() => cniRequest(call({ args: "IP=ten" }), config()), "CNI_CALL_INVALID"],
  ];
  for (const [what, code] of cases) {
    const [found, message] = refusalOf(what);
    t.equal(found, code, message);
    t.notMatch(message, /^not one sentence/);
  }
  t.end();
});
