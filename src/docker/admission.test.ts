import { randomUUID } from "node:crypto";
import { release } from "node:os";
import t, { type Test } from "tap";
import { Admission, isSameKernel } from "./admission.js";

const root = { skip: process.getuid!() === 0 ? false : "needs root" };

function admission(t: Test, path: string, isShared = false): Admission {
  const made = new Admission(`unix://${path}`, { kind: "unix", path }, isShared);
  t.teardown(() => made.locks.forEach((lock) => lock.release()));
  return made;
}

t.test("a kernel is the same whatever dockerd makes of a missing third number", (t) => {
  for (const [told, here, isSame] of [
    ["5.10.0-8-amd64", "5.10.0-8-amd64", true],
    ["6.1.0-rc3", "6.1-rc3", true],
    ["6.1", "6.1.0", true],
    ["", "6.1.0", true],
    ["6.1.1", "6.1.0", false],
    ["6.1.0-a", "6.1.0-b", false],
    ["linuxkit", "6.1.0", false],
  ] as const)
    t.equal(isSameKernel(told, here), isSame, `${told} and ${here}`);
  t.end();
});

t.test("a dockerd on another kernel is not followed", (t) => {
  t.throws(() => admission(t, "/a.sock").recognise({ id: "a", rootDir: "/", kernel: "1.2.3-elsewhere" }), {
    code: "DOCKERD_ELSEWHERE",
  });
  t.end();
});

t.test("no two daemons follow one dockerd, by one address or by two, but for those that only observe", root, (t) => {
  const [path, other] = [`/${randomUUID()}.sock`, `/${randomUUID()}.sock`];
  const dockerd = { id: randomUUID(), rootDir: "/var/lib/docker", kernel: release() };
  const [first, second, observer] = [admission(t, path), admission(t, other), admission(t, path, true)];
  first.lock();
  first.recognise(dockerd);
  first.recognise(dockerd);
  t.equal(first.locks.length, 2);
  t.throws(() => admission(t, path).lock(), { code: "ALREADY_RUNNING" });
  second.lock();
  t.throws(() => second.recognise(dockerd), { code: "ALREADY_RUNNING" });
  observer.lock();
  observer.recognise(dockerd);
  t.equal(observer.locks.length, 0);
  first.recognise({ ...dockerd, rootDir: "/elsewhere" });
  t.doesNotThrow(() => second.recognise(dockerd), "it has been let go of for another dockerd at the first address");
  t.end();
});
