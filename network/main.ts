// The backend's thread: does all work in the kernel, so that the daemon's event loop never waits for it.
import { parentPort, workerData } from "node:worker_threads";
import { describeError, errorCode } from "../common/errors.js";
import { killAtStep } from "./fault.js";
import { Later } from "./later.js";
import type { BackendSettings, FromBackend, ToBackend } from "./protocol.js";
import { Work } from "./work.js";

/** Links that were retired wait for more of their kind, ms: the kernel takes as long for a hundred as for one, and lets nobody else in. */
const deleteRetired = { afterTheLast: 100, afterTheFirst: 1000 };

/** How often it is looked whether somebody has changed links, or rules of which no news tells, ms. */
const lookEvery = 500;

const retired = new Later(deleteRetired);
const port = parentPort;
if (!port) throw new Error("the backend runs in a thread of the daemon");

/** Made with the first request, and tried again with the next while another daemon has the networks. */
let work: Work | undefined;

function begin(): Work {
  const onRetired = () => retired.soon(() => tryTo("delete links", () => made.deleteRetiredAside()));
  const made = new Work({ ...killAtStep(process.env.PONTOON_KILL_AT_STEP), onRetired }, workerData as BackendSettings);
  return made;
}

port.on("message", (message: ToBackend) => void onRequest(message));

async function onRequest({ id, request }: ToBackend): Promise<void> {
  let answer: FromBackend;
  try {
    if (request.kind === "finish") await retired.finish(); // nothing is asked for after it
    work ??= begin();
    answer = { kind: "outcome", id, outcome: work.do(request) };
  } catch (error) {
    answer = { kind: "fault", id, code: errorCode(error), message: describeError(error) };
  }
  port!.postMessage(answer);
}

setInterval(() => {
  void tryTo("look at the host's rules", () => {
    if (work?.hasUntoldChanges) port.postMessage({ kind: "rules-changed" } satisfies FromBackend);
  });
  void tryTo("look at the host's links", () => {
    if (work?.hasLostLinks()) port.postMessage({ kind: "links-changed" } satisfies FromBackend);
  });
}, lookEvery);

async function tryTo(what: string, act: () => void | Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    port!.postMessage({ kind: "warning", message: `${what}: ${describeError(error)}` } satisfies FromBackend);
  }
}
