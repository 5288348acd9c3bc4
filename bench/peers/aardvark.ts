import type { Site } from "../dns/site.js";
import { endProcess, readPid } from "./background.js";
import type { Peer } from "./peer.js";

/** Where Debian puts it; not on the path. */
export const aardvarkProgram = "/usr/lib/podman/aardvark-dns";
const port = 5399;
const folder = "/run/bench/aardvark";

/** aardvark-dns with the site's network. It answers only whom it knows by address, so the client is one of its containers. */
export async function aardvarkPeer(site: Site): Promise<Peer> {
  const { host, network } = site;
  const listenAt = await site.plainClient.ip(network);
  const lines = site.members.map(({ id, name, ip, ip6 }) => `${id} ${ip} ${ip6} ${name}`);
  host.writeFile(`${folder}/${network}`, `${listenAt}\n${lines.join("\n")}\n`);
  await host.exec([aardvarkProgram, "--config", folder, "--port", String(port), "run"], { netns: site.plainClient });
  const pid = await readPid(host, `${folder}/aardvark.pid`);
  return {
    name: "aardvark-dns",
    client: site.plainClient,
    target: { address: listenAt, port },
    processes: [pid],
    stop: () => endProcess(host, pid),
  };
}
