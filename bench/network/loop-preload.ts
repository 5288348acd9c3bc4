// Loaded into the daemon before its own code: tells whoever connects how long its event loop was held up since it was asked
// before. The daemon itself tells only the longest of all, its start included.
import { mkdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { createHistogram } from "node:perf_hooks";
import { dirname } from "node:path";
import { isMainThread } from "node:worker_threads";
import { threadWait } from "../../linux/thread-time.js";
import { loopSocket, type HeldUp } from "./loop.js";

const resolution = 1; // ms

// Its servers and threads inherit what loads this.
if (isMainThread && process.argv[2] === "daemon") watch();

/** As the daemon does: what it waits for a processor that others use does not count. */
function watch(): void {
  const held = createHistogram(); // µs
  let [then, waitedThen] = [performance.now(), threadWait()];
  setInterval(() => {
    const [now, waited] = [performance.now(), threadWait()];
    held.record(Math.max(1, Math.round((now - then - resolution - (waited - waitedThen)) * 1000)));
    [then, waitedThen] = [now, waited];
  }, resolution).unref();
  mkdirSync(dirname(loopSocket), { recursive: true });
  rmSync(loopSocket, { force: true });
  createServer((socket) => {
    const answer: HeldUp = { max: held.max / 1000, p99: held.percentile(99) / 1000, looks: held.count };
    held.reset();
    socket.end(JSON.stringify(answer));
  })
    .listen(loopSocket)
    .unref();
}
