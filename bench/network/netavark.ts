import { namespaces, runProgram, type Backend } from "./backend.js";

/** Where Debian puts it; not on the path. */
const program = "/usr/lib/podman/netavark";
const name = "bench";

const network = {
  name,
  id: "1".repeat(64),
  driver: "bridge",
  network_interface: "netavark0",
  subnets: [{ subnet: "10.91.0.0/16", gateway: "10.91.0.1" }],
  ipv6_enabled: false,
  internal: false,
  dns_enabled: false,
  ipam_options: { driver: "host-local" },
};

/** netavark, called as podman calls it, which chooses the address. */
export async function netavarkBackend(): Promise<Backend> {
  await call("setup", namespaces.stays, "10.91.0.2");
  return {
    connect: (port) => call("setup", namespaces.comes, "10.91.0.3", port),
    disconnect: (port) => call("teardown", namespaces.comes, "10.91.0.3", port),
  };
}

async function call(command: "setup" | "teardown", namespace: string, ip: string, port?: number): Promise<void> {
  const config = {
    container_id: Buffer.from(namespace.padEnd(32)).toString("hex"),
    container_name: namespace,
    ...(port !== undefined && {
      port_mappings: [{ host_ip: "", container_port: 80, host_port: port, range: 1, protocol: "tcp" }],
    }),
    networks: { [name]: { static_ips: [ip], interface_name: "eth0" } },
    network_info: { [name]: network },
  };
  await runProgram(
    program,
    ["--config", "/run/bench/netavark", command, `/run/netns/${namespace}`],
    JSON.stringify(config),
  );
}
