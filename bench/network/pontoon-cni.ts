import { join } from "node:path";
import { repositoryRoot } from "../../integration/lab/root.js";
import { namespaces, runProgram, type Backend } from "./backend.js";
import { controlClient } from "./pontoon.js";

const program = join(repositoryRoot, "bin", "pontoon-cni");
const network = "bench";

/** `pontoon-cni`, called as a runtime calls it; the daemon runs already. */
export async function pontoonCniBackend(): Promise<Backend> {
  await controlClient().post("/v1/networks", { name: network, subnets: ["10.93.0.0/16"] });
  await call("ADD", namespaces.stays);
  return {
    connect: (port) => call("ADD", namespaces.comes, port),
    disconnect: (port) => call("DEL", namespaces.comes, port),
  };
}

async function call(command: "ADD" | "DEL", namespace: string, hostPort?: number): Promise<void> {
  const portMappings = hostPort === undefined ? [] : [{ hostPort, containerPort: 80, protocol: "tcp" }];
  const config = { cniVersion: "1.0.0", name: network, type: "pontoon", network, runtimeConfig: { portMappings } };
  await runProgram(program, [], JSON.stringify(config), {
    CNI_COMMAND: command,
    CNI_CONTAINERID: namespace,
    CNI_NETNS: `/run/netns/${namespace}`,
    CNI_IFNAME: "eth0",
    CNI_PATH: "/opt/cni/bin",
  });
}
