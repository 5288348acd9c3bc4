import t from "tap";
import { DockerHost, until, type Pontoon } from "../lab/index.js";
import { docker, nothingRemains, tryDocker } from "./host.js";

/** More steps than a network and a container on it take, from their making to their end. */
const stepsAtMost = 30;

t.test("a daemon that is killed before any step leaves what the next one mends, or removes", async (t) => {
  const host = await DockerHost.start(t);
  const steps: number[] = [];
  let pontoon: Pontoon | undefined;
  for (let step = 1; step <= stepsAtMost; step++) {
    const [network, container] = [`n${step}`, `c${step}`];
    const doomed = await host.pontoon({ env: { PONTOON_KILL_AT_STEP: String(step) } });
    let isDone = false;
    const work = (async () => {
      await tryDocker(host, `network create -d pontoon --ipam-driver pontoon ${network}`);
      await tryDocker(
        host,
        `run -d --name ${container} --network name=${network},driver-opt=pontoon.bandwidth=9mbit -p 8080:80 busybox sleep 1000`,
      );
      await tryDocker(host, `rm -f ${container}`);
      await tryDocker(host, `network rm ${network}`);
      isDone = true;
    })();
    await until(() => doomed.exitCode !== undefined || isDone, {
      what: "it is killed, or all is done",
      timeoutMs: 30_000,
    });
    pontoon = doomed.exitCode === undefined ? doomed : await host.pontoon();
    await work;
    if (pontoon === doomed) break;
    steps.push(step);
    // What the daemon was asked when it was killed has failed, and can be asked again.
    const made = await tryDocker(host, `network create -d pontoon --ipam-driver pontoon again${step}`);
    t.equal(made.exitCode, 0, `after step ${step}: ${made.stderr}`);
    const run = await tryDocker(host, `run --rm --network again${step} -p 8080:80 busybox true`);
    t.equal(run.exitCode, 0, `after step ${step}: ${run.stderr}`);
    await docker(host, `network rm again${step}`);
    await pontoon.kill();
  }
  t.ok(steps.length >= 6, `killed before steps ${steps.join(", ")}`);
  await pontoon!.stop(); // it is still to be killed, before a step of removing what others have left
  const last = await host.pontoon();
  const left = await docker(host, "network ls -q --filter driver=pontoon");
  for (const id of left.split("\n").filter(Boolean)) await docker(host, `network rm ${id}`);
  await nothingRemains(t, host, last, 150_000);
  t.equal(await last.stop(), 0);
});
