import t from "tap";
import { BareHost, FakeDriver } from "../lab/index.js";
import { installCommand, isAsShown, runSection, shape } from "../lab/guide.js";

// What docs/networks.md shows is what a user sees. What else there is to each is in the other tests of this folder.

for (const heading of [
  "Two sandboxes that reach each other by name",
  "A web server, published on the host",
  "The outside, through NAT",
  "Two networks, and a sandbox on both",
  "A page that counts its visits",
  "A process that is there already",
  "A namespace of `ip netns`",
  "A link between two sandboxes",
  "How fast a sandbox is",
  "On the LAN",
  "Addresses from the LAN's DHCP server",
  "IPv6 addresses that the LAN reaches",
  "Drivers of Docker's plugins",
])
  t.test(heading, async (t) => {
    const host = await BareHost.start(t);
    await host.outside();
    await installCommand(host);
    const pontoon = await host.pontoon();
    if (heading === "Drivers of Docker's plugins") await new FakeDriver(host).listen("/run/docker/plugins/fabric.sock");
    for (const step of await runSection(host, "networks.md", heading))
      t.ok(isAsShown(step), step.command, { shown: shape(step.prints), seen: shape(step.printed) });
    t.equal(await pontoon.stop(), 0);
  });
