import type { Container } from "../../integration/lab/index.js";
import type { Site } from "../dns/site.js";
import { endProcess, readPid } from "./background.js";
import type { Peer } from "./peer.js";

const port = 5353;

/**
 * dnsmasq as it comes, with the site's names as a hosts file and the host's upstream to forward to.
 * @param client in whose namespace it runs; several have one each
 */
export async function dnsmasqPeer(site: Site, client: Container, name = "dnsmasq"): Promise<Peer> {
  const { host, network } = site;
  const hostsFile = `/run/bench/dnsmasq/${client.id}.hosts`;
  const pidFile = `/run/bench/dnsmasq/${client.id}.pid`;
  const lines = site.members.flatMap((member) =>
    [member.ip, member.ip6].map((address) => `${address} ${member.name}.${network} ${member.name}`),
  );
  host.writeFile(hostsFile, `${lines.join("\n")}\n`);
  const files = ["--conf-file=/dev/null", `--pid-file=${pidFile}`, "--no-hosts", `--addn-hosts=${hostsFile}`];
  const sockets = [
    "--resolv-file=/etc/resolv.conf",
    `--port=${port}`,
    "--listen-address=127.0.0.1",
    "--bind-interfaces",
  ];
  await host.exec(["dnsmasq", ...files, ...sockets], { netns: client });
  const pid = await readPid(host, pidFile);
  return {
    name,
    client,
    target: { address: "127.0.0.1", port },
    processes: [pid],
    stop: () => endProcess(host, pid),
  };
}
