import type { Test } from "tap";
import { endpoint, network, sandbox } from "../plan/testing/wanted.js";
import type { Change } from "../protocol.js";
import type { WantedEndpoint, WantedNeighbour, WantedNetwork, WantedSandbox } from "../wanted.js";
import { HostLab, type Worker } from "./lab.js";

/** A host on an underlay, with one sandbox on the overlay network. */
export interface OverlayHost {
  readonly lab: HostLab;
  readonly worker: Worker;
  readonly network: WantedNetwork;
  readonly sandbox: WantedSandbox;
  readonly endpoint: WantedEndpoint;
  /** All that is made there. */
  readonly change: Change;
  /** Its endpoint, as the other host has it. */
  readonly neighbours: readonly WantedNeighbour[];
}

/** The underlay's MTU is 1500, and the overlay's less what a packet of it takes more: 50 bytes, or 70 where the underlay has IPv6. */
const overhead = { ipv4: 50, ipv6: 70 } as const;

/** Two hosts that are joined by a link `u0` with 192.0.2.N, or 2001:db8::N, and nothing made on them yet. The test closes them. */
export async function twoHosts(t: Test, family: keyof typeof overhead = "ipv4"): Promise<[OverlayHost, OverlayHost]> {
  const labs = [await HostLab.make(), await HostLab.make()] as const;
  t.teardown(() => Promise.all(labs.map((lab) => lab.close())));
  labs[0].run("ip", "link", "add", "u0", "type", "veth", "peer", "name", "u0", "netns", String(labs[1].pid));
  return [hostOf(labs[0], 1, family), hostOf(labs[1], 2, family)];
}

function hostOf(lab: HostLab, number: 1 | 2, family: keyof typeof overhead): OverlayHost {
  const underlay = family === "ipv4" ? `192.0.2.${number}` : `2001:db8::${number}`;
  lab.run(
    "ip",
    "address",
    "add",
    `${underlay}/${family === "ipv4" ? 24 : 64}`,
    ...(family === "ipv4" ? [] : ["nodad"]),
    "dev",
    "u0",
  );
  lab.run("ip", "link", "set", "u0", "up");
  const own = network(7, {
    hasIPv6: true,
    mtu: 1500 - overhead[family],
    overlay: { link: "pvx-7", vni: 4711, local: underlay, port: 4789 },
    firewall: { subnets: ["10.7.0.0/24", "fd00:7::/64"], internal: false, icc: true, masquerade: true },
  });
  const inside = sandbox(`s${number}`);
  const [ipv4, ipv6, mac] = [`10.7.0.1${number}`, `fd00:7::1${number}`, `02:42:0a:07:00:1${number}`];
  const addresses = [
    { ip: ipv4, prefix: 24 },
    { ip: ipv6, prefix: 64 },
  ];
  const place = endpoint(inside, own, { mac, addresses });
  return {
    lab,
    worker: lab.worker(),
    network: own,
    sandbox: inside,
    endpoint: place,
    change: { networks: [own], sandboxes: [inside], endpoints: [place] },
    neighbours: [ipv4, ipv6].map((ip) => ({ ip, mac, host: underlay })),
  };
}
