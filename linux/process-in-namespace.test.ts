import { spawn } from "node:child_process";
import { once } from "node:events";
import { statSync } from "node:fs";
import t, { type Test } from "tap";
import { processIn } from "./process-in-namespace.js";

const inodeOf = (pid: number | "self") => statSync(`/proc/${pid}/ns/net`).ino;

/** A shell in a network namespace of its own, and its child there. @returns their numbers */
async function inNamespace(t: Test): Promise<[shell: number, child: number]> {
  const child = spawn("unshare", ["--net", "sh", "-c", "sleep 1000000 & echo $$ $!; read line; kill $!; wait"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.teardown(async () => {
    const exit = once(child, "exit");
    child.stdin.end();
    await exit;
  });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  return line.toString().trim().split(" ").map(Number) as [number, number];
}

t.test("a process in a namespace", async (t) => {
  const [shell, child] = await inNamespace(t);
  t.equal(await processIn(inodeOf(shell)), Math.min(shell, child), "the one with the lowest number");
  t.not(await processIn(inodeOf("self")), undefined);
});

t.test("a namespace without a process", async (t) => {
  t.equal(await processIn(1), undefined);
});
