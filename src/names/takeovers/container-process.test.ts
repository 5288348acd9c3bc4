import t from "tap";
import { isProcessOf, mountsFilesOf } from "./container-process.js";

const id = "5e".repeat(32);

t.test("a container's own files are mounted from a folder of its name", (t) => {
  const line = (source: string, place: string) => `742 701 254:0 ${source} ${place} rw,relatime - ext4 /dev/vda rw`;
  t.ok(mountsFilesOf(`${line("/x", "/x")}\n${line(`/var/lib/docker/containers/${id}/hosts`, "/etc/hosts")}\n`, id));
  t.notOk(mountsFilesOf(line(`/var/lib/docker/containers/${id}/hosts`, "/etc/hosts"), "af".repeat(32)), "another's");
  t.notOk(
    mountsFilesOf(line("/", `/var/lib/docker/containers/${id}/mounts/shm`), id),
    "the host sees mounts of all containers",
  );
  t.end();
});

t.test("this process is in no such container, and a process that is not there is an error", (t) => {
  t.notOk(isProcessOf(process.pid, id));
  t.throws(() => isProcessOf(2 ** 22 + 1, id), { code: "ENOENT" });
  t.end();
});
