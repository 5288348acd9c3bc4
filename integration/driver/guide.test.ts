import t from "tap";
import { installCommand, isAsShown, runSection, shape } from "../lab/guide.js";
import { DockerHost } from "../lab/index.js";

// What docs/docker-driver.md shows is what a user sees. What else there is to each is in the other tests of this folder.

for (const heading of [
  "A first network and container",
  "Addresses: the IPAM driver",
  "Published ports",
  "Names",
  "Links where containers do not reach each other",
  "With compose",
])
  t.test(heading, async (t) => {
    const host = await DockerHost.start(t);
    await host.outside();
    await installCommand(host);
    const pontoon = await host.pontoon();
    for (const step of await runSection(host, "docker-driver.md", heading))
      t.ok(isAsShown(step), step.command, { shown: shape(step.prints), seen: shape(step.printed) });
    t.equal(await pontoon.stop(), 0);
  });
