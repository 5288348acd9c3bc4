import type { Status } from "../status.js";
import { formatTable } from "./table.js";

/** The status as people read it. */
export function statusText(status: Status): string[] {
  const parts = [heading(status), networks(status), containers(status), upstreams(status)].filter(
    (part) => part.length > 0,
  );
  return parts.flatMap((part, index) => (index === 0 ? part : ["", ...part]));
}

function heading(status: Status): string[] {
  const docker =
    status.docker.state === "following" || status.docker.state === "none"
      ? status.docker.detail
      : `${status.docker.state} for dockerd at ${status.docker.host} (${status.docker.detail})`;
  const loop = status.loopDelay && `, event loop held up ${status.loopDelay.max.toFixed(1)} ms at most`;
  return [
    `pontoon ${status.version}, pid ${status.pid}${loop ?? ""}`,
    `docker         ${docker}`,
    `pontoon-dns    ${server(status.dns)}`,
    `pontoon-proxy  ${server(status.ports)}${served(status.ports)}`,
    ...cluster(status).map((line) => `hosts          ${line}`),
    ...backend(status).map((line) => `networks       ${line}`),
    ...driver(status).map((line) => `Docker driver  ${line}`),
    ...firewall(status).map((line) => `firewall       ${line}`),
  ];
}

/** Those that share a store; nothing for a host alone. */
function cluster({ cluster }: Status): string[] {
  if (!cluster) return [];
  const { host, state, detail, hosts, away, encryption, plain, members, leader, behind, store } = cluster;
  const missing = away.length === 0 ? "" : `; away: ${away.join(", ")}`;
  const late = behind === 0 ? "" : `; ${behind} changes behind`;
  return [
    `${state} as ${host.advertise} (${detail}); ${counted(hosts, "host")}${missing}${late}`,
    `store ${store}${leader === undefined ? "" : `, led by ${leader}`}`,
    ...(encryption === undefined ? [] : [`encrypted networks by ${encryption}`]),
    ...(plain ? [`without WireGuard, and out of reach of encrypted networks: ${plain.join(", ")}`] : []),
    ...members
      .filter(({ healthy }) => !healthy)
      .map(({ name, endpoint, error = "it does not answer" }) => `store member ${name} (${endpoint}): ${error}`),
  ];
}

/** Of pontoon's own; nothing where there are none. */
function backend({ backend, observe }: Status): string[] {
  if (!backend) return [];
  const { networks, sandboxes, gone, cutOff, off, due, tunnelTrouble } = backend;
  if (off !== undefined) return observe ? [] : [`off (${off})`];
  const missing = gone.length === 0 ? "" : `; gone: ${gone.join(", ")}`;
  const own = `${counted(networks, "network")} of pontoon's own, ${counted(sandboxes, "sandbox", "sandboxes")}${missing}`;
  return [
    ...(networks + sandboxes === 0 ? [] : [own]),
    ...(cutOff ? [`cut off, for other hosts have their names or addresses: ${cutOff.join(", ")}`] : []),
    ...(tunnelTrouble === undefined ? [] : [`encrypted ones lead to no other host: ${tunnelTrouble}`]),
    ...(due === undefined ? [] : [`${counted(due, "removal")} of which a plugin is told when it answers again`]),
  ];
}

/** Nothing where it serves and has nothing to do. */
function driver({ backend }: Status): string[] {
  if (!backend?.driver) return [];
  const { networks, endpoints, off } = backend.driver;
  if (off !== undefined) return [`off (${off})`];
  if (networks + endpoints === 0) return [];
  return [
    `${counted(networks, "network")}, ${counted(endpoints, "place")} of containers on ${networks === 1 ? "it" : "them"}`,
  ];
}

function counted(number: number, one: string, more = `${one}s`): string {
  return `${number} ${number === 1 ? one : more}`;
}

/** What stands in tables of others. */
function firewall({ firewall: { rules, troubles } = { rules: [], troubles: [] } }: Status): string[] {
  const accepts = rules.length === 0 ? [] : [`a rule with the comment pontoon in ${rules.join(", ")}`];
  return [...accepts, ...troubles];
}

function server({ state, pid, detail, residentMemory }: Status["dns"]): string {
  const memory = residentMemory === undefined ? "" : `, ${Math.round(residentMemory / 1e6)} MB`;
  return `${state}${pid === undefined ? "" : `, pid ${pid}${memory}`}${detail === "" ? "" : ` (${detail})`}`;
}

function served({ pid, published, shims, connections }: Status["ports"]): string {
  if (pid === undefined) return "";
  const docker = shims === 0 ? "" : `, ${shims} for Docker`;
  return `; ${published + shims} sockets published${docker}, ${connections} connections`;
}

function networks(status: Status): string[] {
  if (status.networks.length === 0) return ["No user-defined networks."];
  const rows = status.networks.map((network) => {
    const traits = [network.internal ? "internal" : "", network.shared ? "shared with other hosts" : ""].filter(
      (trait) => trait !== "",
    );
    return [network.name, network.driver, String(network.endpoints), traits.join(", ")];
  });
  return formatTable(["NETWORK", "DRIVER", "CONTAINERS", ""], rows);
}

function containers(status: Status): string[] {
  if (status.containers.length === 0) return ["No running containers."];
  const rows = status.containers.map((container) => [
    container.name,
    container.networks.map(({ name, ipv4, ipv6 }) => `${name}=${ipv4 ?? ipv6 ?? "-"}`).join(" "),
    container.resolver,
    container.upstreams.join(" ") || "-",
    container.counters ? String(container.counters.queries) : "-",
    container.counters ? String(container.counters.failed) : "-",
    container.reason,
  ]);
  return formatTable(["CONTAINER", "ADDRESSES", "ANSWERED BY", "UPSTREAMS", "QUERIES", "FAILED", ""], rows);
}

function upstreams(status: Status): string[] {
  if (status.upstreams.length === 0) return [];
  const rows = status.upstreams.map(({ upstream, asked, answered, timeouts, failures, latency, down }) => [
    upstream.from === "host" ? `host(${upstream.ip})` : upstream.ip,
    down ? "down" : health({ asked, answered, timeouts }),
    String(asked),
    String(answered),
    String(timeouts),
    String(failures),
    answered === 0 ? "-" : `${latency.toFixed(1)} ms`,
  ]);
  return formatTable(["UPSTREAM", "HEALTH", "ASKED", "ANSWERED", "TIMEOUTS", "FAILURES", "LATENCY"], rows);
}

function health({ asked, answered, timeouts }: { asked: number; answered: number; timeouts: number }): string {
  if (asked === 0) return "unused";
  if (answered === 0) return timeouts > 0 ? "silent" : "no answer yet";
  return timeouts > answered ? "poor" : "good";
}
