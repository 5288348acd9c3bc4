import { PontoonError } from "../../../common/errors.js";
import type { MappedPort } from "../../inventory/endpoint-ports.js";
import { requireRate } from "../bandwidth.js";
import type { AttachmentKey, AttachRequest } from "./attach-request.js";
import { parseCniArgs, type CniCall, type CniConfig } from "./cni-config.js";
import { address } from "./schemas.js";

/** Which attachment a call of CNI's is about. Throws CNI_CALL_INVALID when it names none. */
export function cniKey({ container, ifname }: CniCall, { name }: CniConfig): AttachmentKey {
  requireGiven("CNI_CONTAINERID", container);
  requireGiven("CNI_IFNAME", ifname);
  return { engine: "cni", container, attachment: name, ifname };
}

/** What ADD asks for. Throws CNI_CALL_INVALID. */
export function cniRequest(call: CniCall, config: CniConfig): AttachRequest {
  requireGiven("CNI_NETNS", call.netns);
  const { runtimeConfig } = config;
  const args = parseCniArgs(call.args);
  return {
    ...cniKey(call, config),
    netns: call.netns,
    network: networkOf(config),
    // podman tells a container's name as Kubernetes does a pod's, and nerdctl as the name of one that asks for a lease.
    name: args.get("K8S_POD_NAME") ?? args.get("NERDCTL_CNI_DHCP_HOSTNAME"),
    ips: ipsOf(config, args.get("IP")),
    mac: runtimeConfig?.mac ?? args.get("MAC"),
    aliases: aliasesOf(config),
    ports: portsOf(config),
    ...bandwidthOf(config),
    dns: dnsOf(config),
  };
}

/** The network of pontoon's own that a configuration means. */
export function networkOf({ network, name }: CniConfig): string {
  return network ?? name;
}

function requireGiven(variable: string, value: string): void {
  if (value !== "") return;
  throw new PontoonError("CNI_CALL_INVALID", variable, `${variable} is not set; the runtime has to name it`);
}

/** Those of runtimeConfig are the later convention, and count before those of args. */
function ipsOf({ runtimeConfig, args }: CniConfig, arg: string | undefined): readonly string[] {
  if (runtimeConfig && runtimeConfig.ips.length > 0) return runtimeConfig.ips;
  if (args?.cni && args.cni.ips.length > 0) return args.cni.ips;
  return (arg ?? "")
    .split(",")
    .filter((ip) => ip !== "")
    .map((text) => {
      const read = address.safeParse(text);
      if (read.success) return read.data;
      throw new PontoonError("CNI_CALL_INVALID", text, `IP=${text} in CNI_ARGS is not an address`);
    });
}

function aliasesOf({ name, runtimeConfig }: CniConfig): readonly string[] {
  const aliases = runtimeConfig?.aliases ?? [];
  return Array.isArray(aliases) ? aliases : (aliases[name] ?? []);
}

function portsOf({ runtimeConfig }: CniConfig): MappedPort[] {
  return (runtimeConfig?.portMappings ?? []).flatMap(({ hostPort, containerPort, protocol, hostIP }) =>
    hostPort === undefined || hostPort === null || hostPort === 0
      ? []
      : [
          {
            transport: protocol,
            containerPort,
            hostPorts: { first: hostPort, last: hostPort },
            ...(hostIP !== undefined && { ip: hostIP }),
          },
        ],
  );
}

/**
 * At and above this burst, bits, a runtime has none in mind: kubelet says 2^31-1 and containerd 2^32-1 for every container, and
 * hundreds of megabytes would pass before a rate is held.
 */
const burstWithoutMeaning = 2 ** 31 - 1;

/** As the plugin `bandwidth` of CNI's has it: ingress is what goes to the container. Throws BANDWIDTH_INVALID. */
function bandwidthOf({ runtimeConfig }: CniConfig): Pick<AttachRequest, "bandwidth"> {
  const { ingressRate = 0, ingressBurst = 0, egressRate = 0, egressBurst = 0 } = runtimeConfig?.bandwidth ?? {};
  const limit = (name: string, rate: number, burst: number) => ({
    rate: requireRate(rate, `${name} ${rate}`),
    ...(burst > 0 && burst < burstWithoutMeaning && { burst: Math.ceil(burst / 8) }),
  });
  if (ingressRate === 0 && egressRate === 0) return {};
  return {
    bandwidth: {
      ...(ingressRate > 0 && { toSandbox: limit("ingressRate", ingressRate, ingressBurst) }),
      ...(egressRate > 0 && { fromSandbox: limit("egressRate", egressRate, egressBurst) }),
    },
  };
}

/** What the runtime says for one container counts before what stands in the conflist. */
function dnsOf({ dns, runtimeConfig }: CniConfig): AttachRequest["dns"] {
  const own = runtimeConfig?.dns;
  const domain = dns?.domain ?? "";
  const search = dns && dns.search.length > 0 ? dns.search : domain === "" ? [] : [domain];
  return {
    servers: firstOf(own?.servers, dns?.nameservers),
    search: firstOf(own?.searches, search),
    options: firstOf(own?.options, dns?.options),
  };
}

function firstOf(...lists: readonly (readonly string[] | undefined)[]): readonly string[] {
  return lists.find((list) => list !== undefined && list.length > 0) ?? [];
}
