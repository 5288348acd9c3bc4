import { join } from "node:path";
import t from "tap";
import { repositoryRoot } from "../lab/root.js";

const { npmReason } = (await import(join(repositoryRoot, "tools", "prepare.mjs"))) as {
  npmReason: (output: string) => string;
};

t.test("of all that npm says when it fails, what is wrong is told", (t) => {
  const log = "npm error A complete log of this run can be found in: /root/.npm/_logs/0.log\n";
  for (const [output, reason] of [
    [
      `npm error code ECONNREFUSED\nnpm error syscall connect\nnpm error errno ECONNREFUSED\nnpm error FetchError: request to http://x/ failed\nnpm error     at f (x.js:1:2)\n${log}`,
      "FetchError: request to http://x/ failed",
    ],
    [`npm warn old\nnpm ERR! code EUSAGE\nnpm ERR! \nnpm ERR! no lock file\n${log}`, "no lock file"],
    [`npm error code ENOSPC\nnpm error path /x\nnpm error nospc no space left\n${log}`, "nospc no space left"],
    ["sh: npm: not found\n", "sh: npm: not found"],
    ["", "no output"],
  ] as const)
    t.equal(npmReason(output), reason);
  t.end();
});
