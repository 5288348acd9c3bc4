import { openSync, readFileSync } from "node:fs";
import t from "tap";
import { O_CLOEXEC } from "./constants.js";
import { duplicateDescriptor, makeRoomForDescriptors } from "./descriptors.js";
import { closeDescriptor } from "./socket.js";

const isCloseOnExec = (fd: number) =>
  (parseInt(/^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))![1]!, 8) & O_CLOEXEC) !== 0;

t.test("a duplicate is a descriptor of its own, close-on-exec", (t) => {
  const fd = openSync("/dev/null", "r");
  const copy = duplicateDescriptor(fd);
  t.not(copy, fd);
  t.ok(isCloseOnExec(copy));
  closeDescriptor(fd);
  closeDescriptor(copy);
  t.throws(() => duplicateDescriptor(copy), { code: "EBADF" });
  t.end();
});

t.test("room for thousands is made", (t) => {
  makeRoomForDescriptors();
  const size = /^FDSize:\s+(\d+)$/m.exec(readFileSync("/proc/self/status", "utf8"))![1];
  t.ok(Number(size) >= 16_384);
  t.end();
});
