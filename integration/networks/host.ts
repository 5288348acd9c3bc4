import type { BareHost, CommandResult, Pontoon } from "../lab/index.js";

type Host = Pick<BareHost, "exec" | "signal">;

/** Runs a pontoon command that has to succeed, given as one line. @returns what it printed */
export async function run(pontoon: Pontoon, line: string): Promise<string> {
  const { exitCode, stdout, stderr } = await pontoon.cli(...line.split(" "));
  if (exitCode !== 0) throw new Error(`pontoon ${line}: exit code ${exitCode}: ${stderr}`);
  return stdout.trim();
}

/** Runs a program in a sandbox; failing is for the test to judge. */
export function inside(pontoon: Pontoon, sandbox: string, line: string): Promise<CommandResult> {
  return pontoon.cli("sandbox", "exec", sandbox, ...line.split(" "));
}

/** Whether one sandbox reaches an address, or a name, as ping has it. */
export async function reaches(pontoon: Pontoon, sandbox: string, target: string): Promise<boolean> {
  return (await inside(pontoon, sandbox, `busybox ping -c 1 -W 1 ${target}`)).exitCode === 0;
}

/** Starts a shell command that goes on in the host. @returns the process id there of what it `exec`s */
export async function startShell(host: Host, command: string): Promise<number> {
  const { stdout } = await host.exec(["sh", "-c", `{ ${command}; } >/dev/null 2>&1 & echo $!`]);
  return Number(stdout);
}

/** All that networks and sandboxes make on a host. */
export async function marksOn(host: Host): Promise<string> {
  const look =
    "ip -brief link; ip -brief -4 address; ip rule; ip route; nft list tables | sort; ls -A /run/netns /etc/netns; mount | grep netns";
  const { stdout } = await host.exec(["sh", "-c", `{ ${look}; } 2>/dev/null || true`]);
  return stdout.replaceAll(/^\/(run|etc)\/netns:\n|^\n/gm, "").replace(/^.* \/run\/netns type tmpfs.*\n/gm, "");
}
