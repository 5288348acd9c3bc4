import type { Site } from "../site.js";
import { endProcess, readPid } from "./background.js";
import type { Peer } from "./peer.js";

const port = 5353;
const hostsFile = "/run/bench/dnsmasq/hosts";
const pidFile = "/run/bench/dnsmasq/pid";

/** dnsmasq as it comes, with the site's names as a hosts file and nobody to forward to. */
export async function dnsmasqPeer(site: Site): Promise<Peer> {
  const { host, network } = site;
  // Of several names the first is the one that PTR answers with.
  const lines = site.members.flatMap(({ name, ip, ip6 }) => [ip, ip6].map((address) => `${address} ${name}.${network} ${name}`));
  host.writeFile(hostsFile, `${lines.join("\n")}\n`);
  const files = ["--conf-file=/dev/null", `--pid-file=${pidFile}`, "--no-hosts", `--addn-hosts=${hostsFile}`];
  const sockets = ["--no-resolv", `--port=${port}`, "--listen-address=127.0.0.1", "--bind-interfaces"];
  await host.exec(["dnsmasq", ...files, ...sockets], { netns: site.plainAsker });
  const pid = await readPid(host, pidFile);
  return {
    name: "dnsmasq",
    asker: site.plainAsker,
    target: { address: "127.0.0.1", port },
    processes: [pid],
    stop: () => endProcess(host, pid),
  };
}
