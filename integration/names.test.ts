import t from "tap";
import { DockerHost } from "./host/index.js";

t.test("containers on a user-defined network resolve each other through pontoon", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1", { subnet: "172.30.0.0/24" });
  const web = await host.container({ name: "web1", networks: [{ name: "n1", aliases: ["web"] }] });
  const pontoon = await host.pontoon();
  const before = await web.dig("web1");
  console.error(JSON.stringify(await pontoon.status(), null, 1));
  console.error(pontoon.logs.join("\n"));
  const late = await host.container({ name: "late", networks: ["n1"] });
  t.match(before, { rcode: "NOERROR" });
  console.error(before, await late.dig("WeB"), await late.dig("web", "A", { tcp: true }), await late.dig("nosuch.example"));
  console.error((await pontoon.cli("status")).stdout, (await pontoon.cli("dns", "records")).stdout, (await pontoon.cli("dns", "query", "--as", "late", "web")).stdout);
  console.error(pontoon.logs.join("\n"));
  t.equal(await pontoon.stop(), 0);
  console.error((await host.exec(["nft", "list", "ruleset"], { netns: web })).stdout);
});
