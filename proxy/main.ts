// pontoon-proxy: the process behind published ports; and each of its bulk workers (--worker). Both are started by the daemon as
// root, with an empty capability bounding set. pontoon-proxy has a listening control socket as descriptor 3 and the one for shims
// as descriptor 4. Everything it needs is loaded before it becomes an ordinary user.
import { parseArgs } from "node:util";
import { descriptorLimit, dropPrivileges } from "../linux/privileges.js";
import { RARELY, Reactor } from "../linux/reactor.js";
import { CONTROL_DESCRIPTOR, startedAs } from "../server/start.js";
import { BulkWorker } from "./bulk/bulk-worker.js";
import { Control } from "./control.js";
import { Pipes } from "./tcp/pipes.js";
import { pipeMemoryOfWorker, ProxyServer } from "./server.js";
import { workersWanted } from "./bulk/spawn-workers.js";

const shimsDescriptor = 4;
/** A listener of the kernel's own queue has to be set up again when a container is back, and UDP flows choose their source ports. */
const allowedCalls = ["listen", "bind"] as const;

const { values } = parseArgs({
  options: { user: { type: "string" }, version: { type: "string" }, worker: { type: "string" } },
  strict: true,
});
const { user, version } = startedAs("pontoon-proxy", values);

const reactor = new Reactor(RARELY);
if (values.worker === undefined) serve();
else work(Number(values.worker));
reactor.start();

function serve(): void {
  const workers = workersWanted();
  const server: ProxyServer = new ProxyServer(
    reactor,
    { descriptors: descriptorLimit(), workers },
    {
      canStartWorkers: (): boolean => control.canStartWorkers,
      onWorkersWanted: (count) => control.wantWorkers(count),
      onNotice: (reason) => control.notice(reason),
      onDeclined: (reason) => control.declined(reason),
      onFailedDials: (publication, reason) => control.failedDials(publication, reason),
    },
  );
  const control = new Control(server, {
    version,
    stop: once(() => server.stop(exit)),
    drain: once(() => server.drain(exit)),
  });
  dropPrivileges(user, allowedCalls);
  control.listen(CONTROL_DESCRIPTOR);
  server.shims.listen(shimsDescriptor);
  process.on(
    "SIGTERM",
    once(() => server.stop(exit)),
  );
}

/** @param workers how many there are. The descriptor is this one's channel to pontoon-proxy. */
function work(workers: number): void {
  const worker = new BulkWorker(reactor, new Pipes(pipeMemoryOfWorker(workers)), CONTROL_DESCRIPTOR, () =>
    process.exit(0),
  );
  dropPrivileges(user);
  // While pontoon-proxy runs, it decides when connections end. A signal to all processes of a service is meant for it.
  process.on("SIGTERM", () => {
    if (worker.isOrphan) process.exit(0);
  });
  worker.begin();
}

function exit(): void {
  process.exit(0);
}

function once(work: () => void): () => void {
  let done = false;
  return () => {
    if (!done) work();
    done = true;
  };
}
