// How long dockerd takes to stop while pontoon follows it.
import { statSync } from "node:fs";
import t from "tap";
import { DockerHost, type Pontoon } from "../lab/index.js";

/** What a stop may take longer on a busy machine, ms. Docker 26 and later wait 5 s for a client that follows events. */
const margin = 2000;

for (const liveRestore of [false, true])
  t.test(`dockerd ${liveRestore ? "with live-restore " : ""}stops as fast as without pontoon`, async (t) => {
    const host = await DockerHost.start(t, { liveRestore });
    await host.network("n1");
    const web = await host.container({ name: "web", networks: ["n1"], options: ["--restart=always"] });
    const takes = async () => {
      const started = performance.now();
      await host.stopDockerd();
      const time = performance.now() - started;
      await host.startDockerd();
      return time;
    };
    const without = Math.min(await takes(), await takes());
    const pontoon = await host.pontoon();
    await pontoon.answersIn(web);
    const following = (at: Pontoon) =>
      at.waitUntil((status) => (status["docker"] as { state: string }).state === "following", { timeoutMs: 20_000 });
    const times: number[] = [];
    for (let round = 0; round < 2; round++) {
      times.push(await takes());
      await following(pontoon);
      await pontoon.answersIn(web);
    }
    t.comment(`without ${Math.round(without)} ms, with ${times.map(Math.round).join(", ")} ms, Docker ${host.version}`);
    t.ok(
      Math.max(...times) < without + margin,
      `${Math.round(Math.max(...times))} ms, without ${Math.round(without)} ms`,
    );
    t.ok(statSync(host.path("/run/pontoon/dns.sock")).isSocket());
  });
