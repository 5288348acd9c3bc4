import { namespaces, runProgram, type Backend } from "./backend.js";

/** Where Debian puts the plugins; not on the path. */
const folder = "/usr/lib/cni";
const cniVersion = "1.0.0";
const name = "bench";

const bridge = {
  cniVersion,
  name,
  type: "bridge",
  bridge: "cni0",
  isGateway: true,
  ipMasq: true,
  ipam: {
    type: "host-local",
    dataDir: "/run/bench/cni",
    ranges: [[{ subnet: "10.90.0.0/16" }]],
    routes: [{ dst: "0.0.0.0/0" }],
  },
};

/** CNI's plugins, called as a runtime calls them: `bridge` with `host-local`, and `portmap` after it for a port. */
export async function cniBackend(): Promise<Backend> {
  await add(namespaces.stays);
  let result = "";
  return {
    async connect(port) {
      result = await add(namespaces.comes);
      if (port !== undefined) await call("portmap", "ADD", namespaces.comes, portmap(port, result));
    },
    async disconnect(port) {
      if (port !== undefined) await call("portmap", "DEL", namespaces.comes, portmap(port, result));
      await call("bridge", "DEL", namespaces.comes, { ...bridge, prevResult: JSON.parse(result) as unknown });
    },
  };
}

function add(namespace: string): Promise<string> {
  return call("bridge", "ADD", namespace, bridge);
}

function portmap(hostPort: number, result: string): object {
  return {
    cniVersion,
    name,
    type: "portmap",
    capabilities: { portMappings: true },
    runtimeConfig: { portMappings: [{ hostPort, containerPort: 80, protocol: "tcp" }] },
    prevResult: JSON.parse(result) as unknown,
  };
}

function call(plugin: string, command: "ADD" | "DEL", namespace: string, config: object): Promise<string> {
  return runProgram(`${folder}/${plugin}`, [], JSON.stringify(config), {
    CNI_COMMAND: command,
    CNI_CONTAINERID: namespace,
    CNI_NETNS: `/run/netns/${namespace}`,
    CNI_IFNAME: "eth0",
    CNI_PATH: folder,
  });
}
