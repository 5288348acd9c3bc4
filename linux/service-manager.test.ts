import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { bindUnix, closeDescriptor, datagramSocket, receiveBytes, WOULD_BLOCK } from "./socket.js";
import { ServiceManager } from "./service-manager.js";

const fail = (error: unknown) => {
  throw error;
};

function received(fd: number): string[] {
  const buffer = Buffer.alloc(256);
  const messages: string[] = [];
  for (let length = receiveBytes(fd, buffer); length !== WOULD_BLOCK; length = receiveBytes(fd, buffer))
    messages.push(buffer.toString("utf8", 0, length));
  return messages;
}

t.test("systemd is told, at a path and at an abstract name", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-notify-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  for (const path of [join(folder, "notify"), `@pontoon-test-${process.pid}`]) {
    const fd = datagramSocket();
    bindUnix(fd, path.replace(/^@/, "\0"));
    const environment = { NOTIFY_SOCKET: path, WATCHDOG_USEC: "30000", WATCHDOG_PID: String(process.pid), OTHER: "1" };
    const manager = ServiceManager.fromEnvironment(environment, fail);
    t.same(environment, { OTHER: "1" }, "what is started from here is told nothing");
    manager.status("waiting");
    manager.ready();
    const seen = received(fd);
    t.same(seen, ["STATUS=waiting", "READY=1"]);
    while (!seen.includes("WATCHDOG=1")) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      seen.push(...received(fd));
    }
    manager.stopping();
    t.equal(received(fd).at(-1), "STOPPING=1");
    closeDescriptor(fd);
  }
});

t.test("without systemd nobody is told; a systemd that is gone is an error that is told", (t) => {
  ServiceManager.fromEnvironment({}, fail).ready();
  const errors: unknown[] = [];
  ServiceManager.fromEnvironment({ NOTIFY_SOCKET: "/nowhere/notify" }, (error) => errors.push(error)).ready();
  t.match(errors, { length: 1, 0: { code: "ENOENT" } });
  t.end();
});
