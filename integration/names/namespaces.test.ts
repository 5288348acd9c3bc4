import t from "tap";
import { DockerHost, until, type Container } from "../lab/index.js";

/** Host ends of containers' veth pairs. */
async function veths(host: DockerHost): Promise<string[]> {
  const { stdout } = await host.exec(["ip", "-o", "link", "show", "type", "veth"]);
  return [...stdout.matchAll(/^\d+: ([^:@]+)/gm)].map((match) => match[1]!);
}

/**
 * Ends a container's first process while dockerd is down, and takes away the mount with which dockerd itself keeps a
 * namespace until it returns. What is left then is held by nobody but us.
 */
async function endWithoutDockerd(
  host: DockerHost,
  container: Container,
  pid: number,
  sandboxFile: string,
): Promise<void> {
  container.releaseProbe();
  await host.signal("SIGKILL", pid);
  await host.exec(["umount", sandboxFile]);
}

for (const daemonIsDead of [false, true]) {
  t.test(
    `nothing of ours keeps a namespace alive, ${daemonIsDead ? "also when our daemon is dead" : "while our daemon runs"}`,
    async (t) => {
      const host = await DockerHost.start(t, { liveRestore: true });
      const outside = await host.outside();
      const upstream = await outside.dns();
      await upstream.silence(true);
      await host.network("n1");
      const web = await host.container({ name: "web", networks: ["n1"], options: [`--dns=${outside.address}`] });
      const other = await host.container({ name: "other", networks: ["n1"] });
      const pontoon = await host.pontoon();
      for (const container of [web, other]) await container.dig("web", "A", { tcp: true });
      // A question under way, over UDP and TCP, holds sockets in the namespace.
      const pending = [web.dig("slow.example"), web.dig("slow.example", "A", { tcp: true })].map((question) =>
        question.catch(() => undefined),
      );
      await until(async () => (await upstream.queries()).length > 0, { what: "the question is under way" });

      const inspected = (
        await host.docker("inspect", "-f", "{{.State.Pid}} {{.NetworkSettings.SandboxKey}}", "web")
      ).split(" ");
      await host.stopDockerd({ signal: "SIGKILL" });
      if (daemonIsDead) await pontoon.kill();
      const before = await veths(host);
      t.ok(before.length >= 2, "both containers have a veth pair");

      await endWithoutDockerd(host, web, Number(inspected[0]), inspected[1]!);
      await Promise.all(pending);
      await until(async () => (await veths(host)).length === before.length - 1, {
        timeoutMs: 1000,
        what: "the dead container's veth is gone",
      });
      t.equal((await other.dig("other")).rcode, "NOERROR", "its neighbour is still served");
      await pontoon.killEverything();
    },
  );
}
