// Stands in for the daemon: starts pontoon-proxy with its workers as the daemon does, takes sockets from shims, and has
// pontoon-proxy serve them.
import { mkdirSync } from "node:fs";
import { answerRequests } from "../../integration/host/helper-child.js";
import { DeadlineWheel } from "../../src/linux/wheel.js";
import { raiseDescriptorLimit } from "../../src/linux/privileges.js";
import { bindUnix, closeDescriptor, listenSocket, packetSocket } from "../../src/linux/socket.js";
import { Shims } from "../../proxy/shims.js";
import { ProxyProcess, type TestDaemon } from "../../proxy/test-process.js";

export type PontoonRequest =
  | { readonly do: "start"; readonly runDir: string; /** The command line that is to run JavaScript. */ readonly node: readonly string[] }
  | { readonly do: "look" };

export interface PontoonReply {
  /** Process id of pontoon-proxy, and those of its bulk workers. */
  readonly proxy: number;
  readonly workers: readonly number[];
}

const undo: (() => unknown)[] = [];
const owner = { teardown: (work: () => unknown) => void undo.push(work) };
let proxy: ProxyProcess | undefined;

process.on("exit", () => proxy?.child.kill("SIGKILL"));
raiseDescriptorLimit();
answerRequests(async (request: PontoonRequest): Promise<PontoonReply> => {
  if (request.do === "start") await start(request);
  if (!proxy) throw new Error("not started");
  return { proxy: proxy.child.pid!, workers: proxy.workers() };
});

async function start({ runDir, node }: PontoonRequest & { do: "start" }): Promise<void> {
  mkdirSync(runDir, { recursive: true });
  process.env["TMPDIR"] = runDir; // where pontoon-proxy's control socket lies
  proxy = new ProxyProcess(owner, node);
  takeShims(proxy, await proxy.daemon(), runDir);
}

/** pontoon-proxy's own end of proxy.sock, but here: it hears of each socket as of one the daemon has opened. */
function takeShims({ poller: { poller } }: ProxyProcess, daemon: TestDaemon, runDir: string): void {
  const wheel = new DeadlineWheel();
  setInterval(() => wheel.turn(), 20).unref();
  const shims = new Shims(poller, wheel, {
    open: (publication, descriptor) => {
      daemon.send({ kind: "open", publication }, [descriptor]);
      closeDescriptor(descriptor);
    },
    close: (id) => daemon.send({ kind: "close", id }),
  });
  const listener = packetSocket();
  bindUnix(listener, `${runDir}/proxy.sock`);
  listenSocket(listener, 512);
  shims.listen(listener);
}
