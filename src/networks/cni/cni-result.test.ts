import t from "tap";
import { endpointRecord, networkRecord, refusalOf, sandboxRecord } from "../testing/records.js";
import { attachedOf } from "./attached.js";
import { cniError } from "./cni-error.js";
import { cniResult, expectedOf } from "./cni-result.js";
import { statusBlock } from "./netavark.js";
import { PontoonError } from "../../../common/errors.js";

const netns = "/run/netns/x";
const sandbox = sandboxRecord("web");
const network = networkRecord(1, { ipv6: true });
const attached = attachedOf(sandbox, endpointRecord(sandbox, network), network);
const inner = networkRecord(2, { internal: true });
const innerAttached = attachedOf(sandbox, endpointRecord(sandbox, inner), inner);
const dns = { nameservers: ["127.0.0.11"], search: [], options: ["ndots:0"] };

t.test("a result, as the latest version has it", (t) => {
  t.same(cniResult("1.1.0", attached, netns, undefined), {
    cniVersion: "1.1.0",
    interfaces: [
      { name: "v-web-1", mtu: 1500 },
      { name: "eth1", mac: "02:42:0a:01:00:02", sandbox: netns, mtu: 1500 },
    ],
    ips: [
      { address: "10.1.0.2/24", gateway: "10.1.0.1", interface: 1 },
      { address: "fd00:1::2/64", gateway: "fd00:1::1", interface: 1 },
    ],
    routes: [
      { dst: "0.0.0.0/0", gw: "10.1.0.1" },
      { dst: "::/0", gw: "fd00:1::1" },
    ],
    dns,
  });
  t.end();
});

t.test("earlier versions know no MTU, and say which family an address is of", (t) => {
  t.same(cniResult("0.4.0", innerAttached, netns, null), {
    cniVersion: "0.4.0",
    interfaces: [{ name: "v-web-2" }, { name: "eth2", mac: "02:42:0a:02:00:02", sandbox: netns }],
    ips: [{ version: "4", address: "10.2.0.2/24", interface: 1 }],
    routes: [],
    dns,
  });
  const versionsOf = (cniVersion: string) =>
    (cniResult(cniVersion, attached, netns, undefined) as { ips: { version?: string }[] }).ips.map(
      ({ version }) => version,
    );
  t.same(versionsOf("0.3.1"), ["4", "6"]);
  t.same(versionsOf("1.0.0"), [undefined, undefined]);
  t.end();
});

t.test("what plugins before it did is passed on, and its own stands behind it", (t) => {
  const before = {
    cniVersion: "1.0.0",
    interfaces: [{ name: "dummy0", sandbox: netns }],
    ips: [{ address: "192.0.2.1/32", interface: 0 }],
    routes: [{ dst: "192.0.2.0/24" }],
    other: 1,
  };
  t.same(cniResult("1.0.0", innerAttached, netns, before), {
    cniVersion: "1.0.0",
    interfaces: [
      { name: "dummy0", sandbox: netns },
      { name: "v-web-2" },
      { name: "eth2", mac: "02:42:0a:02:00:02", sandbox: netns },
    ],
    ips: [
      { address: "192.0.2.1/32", interface: 0 },
      { address: "10.2.0.2/24", interface: 2 },
    ],
    routes: [{ dst: "192.0.2.0/24" }],
    dns,
    other: 1,
  });
  t.equal(refusalOf(() => cniResult("1.0.0", attached, netns, { interfaces: 7 }))[0], "CNI_CONFIG_INVALID");
  t.end();
});

t.test("what CHECK is to find stands in the result before", (t) => {
  const prevResult = JSON.parse(JSON.stringify(cniResult("0.4.0", attached, netns, undefined))) as unknown;
  t.same(expectedOf(prevResult, "eth1"), { mac: "02:42:0a:01:00:02", addresses: ["10.1.0.2/24", "fd00:1::2/64"] });
  for (const [what, result] of [
    ["none", undefined],
    ["of another link", { interfaces: [{ name: "eth0", sandbox: netns }] }],
    ["of a link of the host", { interfaces: [{ name: "eth1" }] }],
  ] as const)
    t.equal(refusalOf(() => expectedOf(result, "eth1"))[0], "CNI_CONFIG_INVALID", what);
  t.end();
});

t.test("errors have the codes of the specification, or one of pontoon's own", (t) => {
  const codeOf = (code: string, ofStatus = false) =>
    (cniError("1.0.0", new PontoonError(code, "x", "why"), ofStatus) as { code: number }).code;
  t.same(
    ["CNI_VERSION_UNKNOWN", "NETWORKS_OFF", "ADDRESS_TAKEN"].map((code) => codeOf(code)),
    [1, 11, 100],
  );
  t.equal(codeOf("NETWORK_UNKNOWN", true), 50);
  t.same(cniError("0.4.0", new PontoonError("ADDRESS_TAKEN", "10.1.0.2", "it is taken")), {
    cniVersion: "0.4.0",
    code: 100,
    msg: "it is taken",
    details: "ADDRESS_TAKEN 10.1.0.2",
  });
  t.equal((cniError("1.0.0", new Error("no")) as { details: string }).details, "INTERNAL");
  t.end();
});

t.test("the same for netavark", (t) => {
  t.same(statusBlock(innerAttached), {
    dns_search_domains: [],
    dns_server_ips: ["127.0.0.11"],
    interfaces: { eth2: { mac_address: "02:42:0a:02:00:02", subnets: [{ ipnet: "10.2.0.2/24" }] } },
  });
  t.end();
});

t.test("on a plugin's network a result has what its driver has answered", (t) => {
  const plugged = networkRecord(3, { remote: { driver: "net", options: {} }, mtu: 0, subnets: [] });
  const endpoint = endpointRecord(sandbox, plugged, {
    mac: "",
    remote: {
      addresses: [{ ip: "10.3.0.2", prefix: 16 }],
      gateways: ["10.3.0.1"],
      routes: [],
      info: {},
      seenMac: "02:42:00:00:00:07",
    },
  });
  t.same(cniResult("1.1.0", attachedOf(sandbox, endpoint, plugged), netns, undefined), {
    cniVersion: "1.1.0",
    interfaces: [{ name: "eth3", mac: "02:42:00:00:00:07", sandbox: netns }],
    ips: [{ address: "10.3.0.2/16", gateway: "10.3.0.1", interface: 0 }],
    routes: [{ dst: "0.0.0.0/0", gw: "10.3.0.1" }],
    dns,
  });
  t.end();
});
