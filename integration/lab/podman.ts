import { execFileSync } from "node:child_process";
import type { BareHost } from "./bare-host.js";
import type { CommandOptions, CommandResult } from "./command.js";
import type { DockerHost } from "./docker-host.js";
import { busyboxArchive } from "./image.js";

/** Why podman's tests are left out; false where they are not. CNI is no part of podman from 5 on. */
export const withoutCni = (): string | false => {
  const [, major = "0"] = /version (\d+)/.exec(execFileSync("podman", ["--version"], { encoding: "utf8" })) ?? [];
  return Number(major) >= 5 && "podman has no CNI from 5 on";
};

type Host = Pick<BareHost | DockerHost, "name" | "writeFile"> & {
  exec(argv: readonly string[], options?: CommandOptions): Promise<CommandResult>;
};

/** There is no systemd in a host, and ports are to be published by whoever makes the network. */
const configuration = `
[network]
network_backend = "cni"
cni_plugin_dirs = ["/opt/cni/bin"]
network_config_dir = "/etc/cni/net.d"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
enable_port_reservation = false
`;
const storage = `
[storage]
driver = "vfs"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
`;
const image = "busybox";

/** Control groups of its containers are below the host's own, which are removed with it: no configuration says so. */
const wrapping = `
real=/run/host/podman wrapper=/run/host/podman.sh
touch $real; mount --bind /usr/bin/podman $real
cat >$wrapper <<END
#!/bin/sh
if [ "\\$1" = run ]; then shift; exec $real run --cgroup-parent=/$1 "\\$@"; fi
exec $real "\\$@"
END
chmod 755 $wrapper; mount --bind $wrapper /usr/bin/podman
`;

/** podman with CNI on a test host, which has no containers of it yet. */
export class Podman {
  private constructor(private readonly host: Host) {}

  /** Prepares it, with the image `busybox`. @param plugin the program that is the plugin `pontoon` there */
  static async prepare(host: Host, plugin: string): Promise<Podman> {
    host.writeFile("/etc/containers/containers.conf", configuration);
    host.writeFile("/etc/containers/storage.conf", storage);
    await host.exec([
      "sh",
      "-ec",
      `rm -f /etc/cni/net.d/*; mkdir -p /opt/cni/bin /etc/cni/net.d /var/lib/containers; ln -sf ${plugin} /opt/cni/bin/pontoon`,
    ]);
    await host.exec(["mount", "-t", "tmpfs", "containers", "/var/lib/containers"]);
    await host.exec(["sh", "-ec", wrapping, "sh", host.name]);
    await host.exec(["podman", "import", "-", `localhost/${image}`], { input: await busyboxArchive() });
    return new Podman(host);
  }

  /** Runs the podman command and returns what it printed. */
  async run(...args: string[]): Promise<string> {
    return (await this.host.exec(["podman", ...args])).stdout.trim();
  }

  /** Starts a container in the background. @param line what runs in it */
  async start(name: string, options: readonly string[], line = "sleep 1d"): Promise<void> {
    await this.run("run", "--detach", `--name=${name}`, ...options, image, ...line.split(" "));
  }

  /** Runs a command in a container; failing is for the test to judge. */
  exec(name: string, line: string): Promise<CommandResult> {
    return this.host.exec(["podman", "exec", name, ...line.split(" ")], { reject: false });
  }
}
