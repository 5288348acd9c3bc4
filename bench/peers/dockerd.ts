import type { Site } from "../dns/site.js";
import type { Peer } from "./peer.js";

/** Docker's own resolver, which answers from inside dockerd. */
export function dockerdPeer(site: Site): Peer {
  return {
    name: "dockerd",
    client: site.plainClient,
    target: { address: "127.0.0.11", port: 53 },
    processes: [site.host.dockerd.pid],
    stop: () => Promise.resolve(),
  };
}
