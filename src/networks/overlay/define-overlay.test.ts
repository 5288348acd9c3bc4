import t from "tap";
import type { HostRecord } from "../../cluster/records.js";
import { tunnelAddress } from "../../cluster/wireguard-key.js";
import { createNetworkRequest } from "../contract.js";
import { chooseVni, overlayMtu, overlayRecord, requireOverlayOptions, sharedNetwork } from "./define-overlay.js";

const request = (given: object) => createNetworkRequest.parse({ name: "demo", driver: "overlay", ...given });

t.test("what is for one host alone is refused on a network of several", (t) => {
  t.doesNotThrow(() =>
    requireOverlayOptions(request({ subnets: ["10.88.0.0/16"], internal: true, mtu: 1400, encrypted: true })),
  );
  const unfit = [
    { bridge: "br0" },
    { parent: "eth0" },
    { ndpProxy: "" },
    { ipam: "dhcp" },
    { hostBinding: "192.0.2.1" },
    { icc: false },
    { firewall: false },
    { snatAddresses: ["192.0.2.1"] },
    { subnets: ["from:eth0"] },
  ];
  for (const given of unfit)
    t.throws(() => requireOverlayOptions(request(given)), { code: "OPTION_UNFIT" }, JSON.stringify(given));
  t.end();
});

t.test("what VXLAN puts around a frame fits the uplink", (t) => {
  t.equal(overlayMtu("10.99.0.1", 1500, {}), 1450);
  t.equal(overlayMtu("fd00:99::1", 1500, {}), 1430);
  t.equal(overlayMtu("10.99.0.1", 9000, { mtu: 1450 }), 1450);
  t.throws(() => overlayMtu("10.99.0.1", 1500, { mtu: 1451 }), { code: "MTU_INVALID" });
  const encrypted = true;
  t.equal(overlayMtu("10.99.0.1", 1500, { encrypted }), 1500 - 60 - 70);
  t.equal(overlayMtu("fd00:99::1", 1500, { encrypted }), 1500 - 80 - 70);
  t.throws(() => overlayMtu("10.99.0.1", 1500, { encrypted, mtu: 1371 }), {
    code: "MTU_INVALID",
    message: /VXLAN and WireGuard need 130; use 1370 or less/,
  });
  t.end();
});

t.test("a network of several hosts is the same on each, but for the host's own address", (t) => {
  const shared = sharedNetwork(
    {
      id: "0123456789abcdef".repeat(4),
      name: "demo",
      created: "2026-01-01T00:00:00Z",
      bridge: "pt-0123456789ab",
      isAdopted: false,
      subnets: [{ subnet: "10.88.0.0/16", gateway: "10.88.0.1", ipRange: "10.88.1.0/24" }],
      internal: true,
      icc: true,
      masquerade: false,
      snatAddresses: [],
      mtu: 1450,
      firewall: true,
      labels: { team: "shop" },
    },
    chooseVni(),
  );
  t.ok(shared.vni >= 0x100000 && shared.vni <= 0xffffff);
  const host = { id: "h", name: "host", advertise: "10.99.0.1", joined: "" };
  const [east, west] = [overlayRecord(shared, host), overlayRecord(shared, { ...host, advertise: "10.99.0.2" })];
  t.same({ ...east, overlay: { ...east.overlay, local: "10.99.0.2" } }, west);
  t.same(sharedNetwork(east, shared.vni), shared, "nothing of it is lost");
  const encrypted = { ...shared, isEncrypted: true } as const;
  t.same(sharedNetwork(east, shared.vni, true), encrypted);
  const publicKey = Buffer.alloc(32, 7).toString("base64");
  const overlayOn = (wireguard?: HostRecord["wireguard"]) => overlayRecord(encrypted, { ...host, wireguard }).overlay;
  t.match(overlayOn({ publicKey, port: 51840 }), { local: tunnelAddress(publicKey), isEncrypted: true });
  t.match(overlayOn(), { local: "", isEncrypted: true }, "never its plain address");
  t.end();
});
