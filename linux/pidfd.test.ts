import { spawn } from "node:child_process";
import { once } from "node:events";
import t from "tap";
import { EPOLLIN } from "./constants.js";
import { openPidfd, pidOfPidfd, signalPidfd } from "./pidfd.js";
import { closeDescriptor } from "./socket.js";
import { TestLoop } from "./testing/loop.js";

t.test("a process's end is heard through its pidfd", async (t) => {
  const loop = new TestLoop();
  t.teardown(() => loop.poller.close());
  const child = spawn("cat", { stdio: ["pipe", "ignore", "ignore"] });
  const exited = once(child, "exit");
  const fd = openPidfd(child.pid!);
  t.teardown(() => closeDescriptor(fd));
  let ended = false;
  const watch = loop.poller.watch(fd, EPOLLIN, () => (ended = true));
  loop.poller.dispatch(0);
  t.equal(ended, false, "not while it lives");
  t.equal(pidOfPidfd(fd), child.pid);
  child.stdin.end();
  await loop.until("the end is heard", () => ended);
  watch.close();
  await exited;
  t.equal(pidOfPidfd(fd), -1, "it stands for nobody then");
  t.throws(() => signalPidfd(fd, 9), { code: "ESRCH" });
});

t.test("a signal reaches the process the descriptor stands for", async (t) => {
  const child = spawn("cat", { stdio: ["pipe", "ignore", "ignore"] });
  const exited = once(child, "exit");
  const fd = openPidfd(child.pid!);
  signalPidfd(fd, 15);
  t.same(await exited, [null, "SIGTERM"]);
  closeDescriptor(fd);
});

t.test("a process that is not there has no pidfd", async (t) => {
  const child = spawn("true");
  const pid = child.pid!;
  await once(child, "exit");
  t.throws(() => openPidfd(pid), { code: "ESRCH", syscall: "pidfd_open" });
});
