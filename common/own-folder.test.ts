import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, lchownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { faultOfFolder, faultOfWriting } from "./own-folder.js";

const noRoot = process.getuid?.() === 0 ? false : "needs root to make folders of others";
const somebody = 4711;

function scratch(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** A folder below `place`, with this mode and owner. */
function made(place: string, mode: number, owner = process.getuid!()): string {
  mkdirSync(place);
  chownSync(place, owner, owner);
  chmodSync(place, mode);
  return place;
}

t.test("a folder that only its owner may write is safe, there or still to be made", (t) => {
  const folder = scratch(t);
  for (const path of [
    folder,
    `${folder}/`,
    made(`${folder}/open`, 0o755),
    `${folder}/a/b`,
    "/",
    "/run/pontoon-nosuch",
    "/var/run/pontoon-nosuch",
  ])
    t.equal(faultOfFolder(path), undefined, path);
  symlinkSync("open", `${folder}/link`);
  symlinkSync(`${folder}/link/..`, `${folder}/around`);
  for (const path of [`${folder}/link`, `${folder}/around`, `${folder}/around/open/x`])
    t.equal(faultOfFolder(path), undefined, path);
  made(`${folder}/sticky`, 0o1777);
  t.equal(
    faultOfFolder(made(`${folder}/sticky/own`, 0o700)),
    undefined,
    "one's own in a folder for everybody, as /tmp",
  );
  t.end();
});

t.test("a folder others may write is refused, and so is one below", (t) => {
  const folder = scratch(t);
  for (const mode of [0o777, 0o775, 0o757, 0o1777]) {
    const place = made(`${folder}/${mode.toString(8)}`, mode);
    t.equal(faultOfFolder(place), `others than its owner may write in ${place} (mode ${mode.toString(8)})`);
    if ((mode & 0o1000) === 0) t.match(faultOfFolder(`${place}/below/it`), /may write in .*\/\d+ \(mode/);
  }
  symlinkSync("777", `${folder}/link`);
  t.match(faultOfFolder(`${folder}/link`), /777 \(mode 777\)$/, "by a link too");
  symlinkSync("loop", `${folder}/loop`);
  t.match(faultOfFolder(`${folder}/loop`), /too many links/);
  writeFileSync(`${folder}/file`, "");
  for (const path of [`${folder}/file`, `${folder}/file/x`]) t.match(faultOfFolder(path), /file is not a folder$/);
  t.end();
});

t.test("a folder of somebody else's is refused, wherever it is on the way", { skip: noRoot }, (t) => {
  const folder = scratch(t);
  const theirs = made(`${folder}/home`, 0o755, somebody);
  made(`${theirs}/mine`, 0o700);
  for (const path of [theirs, `${theirs}/mine`, `${theirs}/mine/below`, `${theirs}/nosuch`])
    t.equal(faultOfFolder(path), `${theirs} belongs to user ${somebody}`, path);
  const sticky = made(`${folder}/sticky`, 0o1777);
  t.match(
    faultOfFolder(made(`${sticky}/first`, 0o755, somebody)),
    /first belongs to user 4711/,
    "one that was made before ours, where everybody may",
  );
  symlinkSync(folder, `${sticky}/theirs`);
  lchownSync(`${sticky}/theirs`, somebody, somebody);
  t.match(faultOfFolder(`${sticky}/theirs/open`), /theirs belongs to user 4711/, "a link that can be turned elsewhere");
  t.end();
});

t.test("where nothing can be written is known without writing", { skip: noRoot }, (t) => {
  const folder = scratch(t);
  for (const path of [folder, `${folder}/a/b`, "/dev/shm", "/run/pontoon-nosuch"])
    t.equal(faultOfWriting(path), undefined, path);
  writeFileSync(`${folder}/file`, "");
  t.equal(faultOfWriting(`${folder}/file/below`)?.code, "ENOTDIR");
  const module = JSON.stringify(new URL("./own-folder.js", import.meta.url).href);
  const look = (path: string) => [
    "--input-type=module",
    "--eval",
    `import { faultOfWriting } from ${module}; console.log(faultOfWriting("${path}")?.what)`,
  ];
  const mounted = (options: string, fill: string, path: string) =>
    spawnSync(
      "unshare",
      [
        "--mount",
        "sh",
        "-c",
        `mount -t tmpfs -o ${options} none ${folder}; ${fill}; exec "$@"`,
        "sh",
        process.execPath,
        ...look(path),
      ],
      { encoding: "utf8" },
    ).stdout.trim();
  for (const path of [folder, `${folder}/to/be/made`]) {
    t.equal(mounted("ro", "true", path), "on a read-only file system (EROFS)", path);
    t.equal(
      mounted("size=1m", `head -c 1m /dev/zero >${folder}/ballast`, path),
      "on a full file system (ENOSPC)",
      path,
    );
    t.equal(mounted("size=1m", "true", path), "undefined", path);
    t.equal(mounted("size=0", "true", path), "undefined", "one without a limit");
    t.equal(
      spawnSync(process.execPath, look(path), { encoding: "utf8", uid: somebody, cwd: "/" }).stdout.trim(),
      "closed for writing (EACCES)",
    );
  }
  t.end();
});
