import type { Pontoon } from "../../integration/lab/index.js";
import type { Site } from "../dns/site.js";
import type { Peer } from "./peer.js";

/** What is read of `GET /v1/status`. */
interface PontoonStatus {
  readonly dns: { readonly pid?: number };
  readonly containers: readonly { readonly id: string; readonly resolver: "pontoon" | "docker" }[];
}

/** Waits until pontoon answers the site's one client, and Docker the other; both as pontoon itself tells. */
export async function pontoonPeer(site: Site, pontoon: Pontoon): Promise<Peer> {
  const resolverOf = (status: PontoonStatus, id: string) =>
    status.containers.find((container) => container.id === id)?.resolver;
  const status = await pontoon.waitUntil((now) => {
    const answering = now as unknown as PontoonStatus;
    return (
      resolverOf(answering, site.client.id) === "pontoon" && resolverOf(answering, site.plainClient.id) === "docker"
    );
  });
  const { dns } = status as unknown as PontoonStatus;
  if (dns.pid === undefined) throw new Error("pontoon answers, but its status names no server process");
  return {
    name: "pontoon",
    client: site.client,
    target: { address: "127.0.0.11", port: 53 },
    processes: [dns.pid],
    stop: async () => void (await pontoon.stop()),
  };
}
