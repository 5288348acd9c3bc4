import type { DockerHost, Outside } from "../../integration/lab/index.js";
import type { Named } from "./questions.js";

const names = 20;
const folder = "/run/bench/upstream";
/** Longer than a run, seconds: whoever keeps answers asks for each once. */
const ttl = 3600;

/** What the upstream knows. */
export const upstreamNames: readonly Named[] = Array.from({ length: names }, (_, index) => ({
  name: `www.shop${index + 1}.example.net`,
  ip: `192.0.2.${index + 1}`,
  ip6: `2001:db8::${(index + 1).toString(16)}`,
}));

/** The content of a host's resolv.conf that names the upstream. */
export const resolvConf = "nameserver 10.77.0.2\n";

/**
 * Starts the DNS server that a host forwards to, beyond its default route: a dnsmasq, several times as fast as any of
 * the peers forwards. It denies every name but {@link upstreamNames}.
 */
export async function startUpstream(host: DockerHost, outside: Outside): Promise<void> {
  const lines = upstreamNames.flatMap(({ name, ip, ip6 }) => [`${ip} ${name}`, `${ip6} ${name}`]);
  host.writeFile(`${folder}/hosts`, `${lines.join("\n")}\n`);
  const files = [
    "--conf-file=/dev/null",
    `--pid-file=${folder}/pid`,
    "--no-hosts",
    `--addn-hosts=${folder}/hosts`,
    `--local-ttl=${ttl}`,
  ];
  const sockets = ["--no-resolv", "--local=/#/", `--listen-address=${outside.address}`, "--bind-interfaces"];
  await outside.exec(["dnsmasq", ...files, ...sockets]);
}
