import { Nfnetlink } from "../../../linux/netlink/nfnetlink.js";
import { Firewall } from "../firewall.js";
import { QUIET_GROUP, type FirewallNetwork, type FirewallWanted } from "../wanted.js";
import { Lab, secondAddress } from "./lab.js";

function network(number: number, more: Partial<FirewallNetwork> = {}): FirewallNetwork {
  return {
    name: `net${number}`,
    bridge: `pt${number}`,
    subnets: [`10.201.${number}.0/24`, `fd00:${number}::/64`],
    internal: false,
    icc: true,
    masquerade: true,
    ...more,
  };
}

const [web, other, inner, quiet] = [
  network(1),
  network(2, { masquerade: false }),
  network(3, { internal: true }),
  network(4, { icc: false, snat: secondAddress }),
];
/** No port is published: `pt2` leaves with its own addresses, `pt3` is internal, `pt4` has icc off, `docker9` is Docker's. */
export const plainly: FirewallWanted = {
  networks: [web, other, inner, quiet],
  forwards: [],
  links: [],
  others: ["docker9"],
  bridgesFiltered: false,
  overlays: [],
};
const labNetworks = [
  { bridge: "pt1", number: 1, sandboxes: ["a1", "a2"] },
  { bridge: "pt2", number: 2, sandboxes: ["b1"] },
  { bridge: "pt3", number: 3, sandboxes: ["i1", "i2"] },
  { bridge: "pt4", number: 4, sandboxes: ["q1", "q2", "q3"], group: QUIET_GROUP },
  { bridge: "docker9", number: 9, sandboxes: ["d1"] },
];

/** Gives a lab with these networks, and a firewall on its host where nothing is applied yet. */
export function withLab(work: (lab: Lab, firewall: Firewall) => void, bridgeNetfilter = false): void {
  const lab = new Lab(labNetworks, { bridgeNetfilter });
  const nfnetlink = lab.inside("host", () => new Nfnetlink());
  try {
    work(lab, new Firewall(nfnetlink));
  } finally {
    nfnetlink.close();
    lab.close();
  }
}
