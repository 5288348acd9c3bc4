import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { pathInRoot } from "./root-path.js";

t.test("links are followed inside the other root", (t) => {
  const root = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(root, { recursive: true }));
  for (const folder of ["etc", "run/resolver", "var"]) mkdirSync(join(root, folder), { recursive: true });
  const link = (target: string, path: string) => symlinkSync(target, join(root, path));
  link("/run/resolver/resolv.conf", "etc/resolv.conf");
  link("../run/resolver/resolv.conf", "etc/relative");
  link("/run", "var/run");
  link("/var/run/resolver/x", "etc/twice");
  link("../../../../etc/passwd", "etc/out");
  link("/etc/loop", "etc/loop");
  const cases: [file: string, expected: string][] = [
    ["/etc/hosts", "/etc/hosts"],
    ["/etc/resolv.conf", "/run/resolver/resolv.conf"],
    ["/etc/relative", "/run/resolver/resolv.conf"],
    ["/var/run/resolver/y", "/run/resolver/y"],
    ["/etc/twice", "/run/resolver/x"],
    ["/etc/out", "/etc/passwd"],
    ["/none/at/all", "/none/at/all"],
    ["/etc/loop", "/etc/loop"],
  ];
  for (const [file, expected] of cases) t.equal(pathInRoot(root, file), root + expected, file);
  t.equal(
    pathInRoot(root, "/etc/resolv.conf", { followLink: false }),
    `${root}/etc/resolv.conf`,
    "the last part as it is",
  );
  t.equal(
    pathInRoot(root, "/var/run/resolver", { followLink: false }),
    `${root}/run/resolver`,
    "but those before it are followed",
  );
  for (const path of ["/a".repeat(300), "/".padEnd(5000, "x")])
    t.throws(() => statSync(pathInRoot(root, path)), { code: "ENOENT" }, "a path that never ends");
  link(`${"etc/../".repeat(30)}etc/long`, "etc/long");
  t.throws(() => statSync(pathInRoot(root, "/etc/long")), { code: "ENOENT" });
  t.equal(pathInRoot("", "/etc/resolv.conf"), "/etc/resolv.conf", "our own root is left to the kernel");
  t.end();
});
