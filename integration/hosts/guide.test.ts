import t from "tap";
import { runCommand } from "../lab/command.js";
import { installCommand, isAsShown, shape, stepsIn } from "../lab/guide.js";
import { BareHost, DockerHost, until } from "../lab/index.js";
import { ClusterLab } from "./hosts.js";

// What docs/hosts.md shows is what a user of two hosts sees.

/** What hosts a section is about, and what it says of their configuration. */
const sections: readonly [heading: string, Host?: typeof BareHost | typeof DockerHost, config?: string][] = [
  ["The walk"],
  ["Published ports and the outside"],
  ["Containers of Docker's", DockerHost],
  ["Encrypted networks", BareHost, "wireguard:\n  use: /usr/bin/wireguard-go\n"],
];

for (const [heading, Host = BareHost, config] of sections)
  t.test(heading, async (t) => {
    const lab = await ClusterLab.start(t, { members: 2 });
    const start = (name: string, index: number) => named(lab, Host, { name, number: index + 1, config });
    const [east, west] = await Promise.all(["east", "west"].map(start));
    const client = await lab.underlay.server(9);
    const typed = (place: string, command: string) => {
      const argv = ["sh", "-c", `{ ${command}\n} 2>&1`];
      if (place === "client") return runCommand(client.enter(argv), { reject: false });
      return (place === "east" ? east! : west!).host.exec(argv, { reject: false });
    };
    for (const step of stepsIn("hosts.md", heading)) {
      let printed = "";
      // News of another host may be on its way when a reader would not have typed the next command yet.
      const seen = await until(
        async () => {
          printed = (await typed(step.place, step.command)).stdout;
          return isAsShown({ ...step, printed }) || !isLook(step.command);
        },
        { what: `${step.place} prints what is shown of ${step.command}` },
      ).catch(() => false);
      t.ok(seen && isAsShown({ ...step, printed }), step.command, { shown: shape(step.prints), seen: shape(printed) });
    }
    t.equal(await east!.pontoon.stop(), 0);
    t.equal(await west!.pontoon.stop(), 0);
  });

/** A host with a name that readers can tell from another's, which the daemon takes up when it starts. */
async function named(
  lab: ClusterLab,
  Host: typeof BareHost | typeof DockerHost,
  { name, number, config }: { name: string; number: number; config: string | undefined },
) {
  const host = await Host.start(lab.owner, { uplink: lab.underlay.uplink(number) });
  await host.exec(["hostname", name]);
  await installCommand(host);
  return { host, pontoon: await lab.daemon(host, number, config) };
}

/** Whether a command can be given again, without another outcome than the first time. */
function isLook(command: string): boolean {
  return /^curl|^(?:pontoon|docker) (?:network|host) ls|^pontoon sandbox exec \S+ busybox (?:ping|nslookup)|^docker exec/.test(
    command,
  );
}
