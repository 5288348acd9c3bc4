import t from "tap";
import { BareHost, Podman, withoutCni } from "../lab/index.js";
import { installCommand, isAsShown, runSection, shape } from "../lab/guide.js";
import { pontoonCni } from "./engine.js";

// What docs/other-engines.md shows is what a user sees. What else there is to each is in the other tests of this folder.

for (const heading of ["Called by hand", "podman with CNI"])
  t.test(heading, { skip: heading.startsWith("podman") && withoutCni() }, async (t) => {
    const host = await BareHost.start(t);
    await host.outside();
    await installCommand(host);
    await host.exec(["ln", "-s", pontoonCni, "/usr/local/bin/pontoon-cni"]);
    if (heading.startsWith("podman")) await Podman.prepare(host, "/usr/local/bin/pontoon-cni");
    const pontoon = await host.pontoon();
    for (const step of await runSection(host, "other-engines.md", heading))
      t.ok(isAsShown(step), step.command, { shown: shape(step.prints), seen: shape(step.printed) });
    t.equal(await pontoon.stop(), 0);
  });
