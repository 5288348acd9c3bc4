// A client in the middle of a download learns at once that its container is gone, whoever published the port.
import t from "tap";
import type { PortRow } from "../../src/ports/contract.js";
import { until, type Container } from "../lab/index.js";
import { helperProgram } from "../lab/root.js";
import { natMode, PublishedHost, rowsOf } from "./suites/published-host.js";

/** Sends without end to whoever connects. */
const endless = `require("net").createServer((socket) => {
  const block = Buffer.alloc(65536);
  const write = () => { while (socket.write(block)); };
  socket.on("error", () => undefined).on("drain", write);
  write();
}).listen(80)`;

t.test("a container that is gone", async (t) => {
  const published = await PublishedHost.start(t, natMode);
  const { host } = published;
  // Whatever ends by this time does not end in this test.
  const pontoon = await published.pontoon({ config: "ports:\n  drain: 600\n" });
  await host.network("n1", { subnet: "10.90.1.0/24" });
  const make = (name: string, options: string[] = []): Promise<Container> =>
    host.container({
      name,
      networks: ["n1"],
      options: ["--volume=/:/machine:ro", ...options],
      command: ["chroot", "/machine", process.execPath, "-e", endless],
    });

  const ways: [how: string, args: string[]][] = [
    ["removed", ["rm", "-f", "web"]],
    ["stopped", ["stop", "--time=0", "web"]],
    ["disconnected", ["network", "disconnect", "n1", "web"]],
    ["restarted", ["restart", "--time=0", "web"]],
  ];
  for (const source of ["docker", "command"] as const)
    for (const [how, args] of ways)
      await t.test(
        `${how}, published with ${source === "docker" ? "docker run --publish" : "pontoon publish"}`,
        async (t) => {
          const web = await make("web", source === "docker" ? ["--publish=127.0.0.1:8080:80"] : []);
          if (source === "command") t.equal((await pontoon.cli("publish", "web", "127.0.0.1:8080:80")).stderr, "");
          const row = async (): Promise<PortRow | undefined> =>
            (await rowsOf(pontoon, "web")).find((each) => each.source === source && each.by === "pontoon");
          await until(async () => (await row())?.state === "open", { what: "it is served", timeoutMs: 20_000 });
          // One of them is bulk by then, the other is not.
          const downloads = [1, 2].map(() => host.exec([process.execPath, helperProgram("download-child.js"), "8080"]));
          await until(async () => ((await row())?.bytesToClients ?? 0) > 10_000_000, { what: "much is under way" });
          await host.docker(...args);
          // A container whose process is killed may still send an end itself; one that only leaves its network does not.
          for (const download of downloads)
            t.match((await download).stdout, how === "disconnected" ? "reset\n" : /^(reset|ended)\n$/);
          if (source === "command") await pontoon.cli("unpublish", "web");
          if (how !== "removed") await web.remove();
        },
      );
});
