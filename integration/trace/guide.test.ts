import t from "tap";
import { BareHost } from "../lab/index.js";
import { installCommand, isAsShown, runSection, shape } from "../lab/guide.js";

// What docs/trace.md shows is what a user sees.

for (const heading of [
  "A service that listens on the wrong address",
  "Networks that are kept apart",
  "A published port, from outside",
])
  t.test(heading, async (t) => {
    const host = await BareHost.start(t);
    await host.outside();
    await installCommand(host);
    const pontoon = await host.pontoon();
    for (const step of await runSection(host, "trace.md", heading))
      t.ok(isAsShown(step), step.command, { shown: shape(step.prints), seen: shape(step.printed) });
    t.equal(await pontoon.stop(), 0);
  });
