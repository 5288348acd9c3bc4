import { DockerHost, EtcdCluster, Underlay, until, type Container } from "../../integration/lab/index.js";
import { resolvConf } from "../dns/upstream.js";
import type { Undo } from "../lib/cleanup.js";
import type { Run } from "../network/loads.js";
import { comes, far, near, network, peer, subnet } from "./names.js";
import { bulkPort, iperfServer, programs } from "./programs.js";
import type { Side } from "./side.js";

/** Docker's own overlay. What comes and goes is on Docker's default bridge besides, which gives it a way outside. */
export async function startDocker(undo: Undo): Promise<Side> {
  const underlay = await Underlay.start(undo);
  const etcd = await EtcdCluster.on(underlay);
  const [first, second] = [await startHost(undo, underlay, etcd, 1), await startHost(undo, underlay, etcd, 2)];
  await first.docker("network", "create", "--driver=overlay", `--subnet=${subnet}`, network);
  await until(() => second.engine.get(`/networks/${network}`), { what: "the second host has the network" });
  const server = await first.container({ name: near, networks: [network] });
  const client = await second.container({ name: far, networks: [network] });
  await first.container({ name: comes });
  await first.exec(iperfServer, { netns: server });
  return {
    name: peer,
    backend: "docker",
    connecting: first.helper(programs.connect),
    asking: second.helper(programs.name, `/proc/${await client.pid()}/ns/net`),
    bulk: {
      server: within(first, server),
      serverPort: bulkPort,
      client: within(second, client),
      address: await server.ip(network),
      port: bulkPort,
    },
  };
}

/** With an upstream, which denies every name at once. */
async function startHost(undo: Undo, underlay: Underlay, etcd: EtcdCluster, number: number): Promise<DockerHost> {
  const uplink = underlay.uplink(number);
  const host = await DockerHost.start(undo, { uplink, resolvConf, dockerd: etcd.dockerFlags(uplink) });
  await (await host.outside()).dns();
  return host;
}

function within(host: DockerHost, container: Container): Run {
  return (argv, options) => host.exec(argv, { ...options, netns: container });
}
