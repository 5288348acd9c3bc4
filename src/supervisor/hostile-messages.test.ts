import fc from "fast-check";
import t from "tap";
import { readFirstToServer, readFromServer } from "../../common/handshake.js";
import { readHeld as readHeldSandbox, readToDaemon as readFromDns, readToServer } from "../../dns/messages.js";
import { readFromWorker, readToWorker } from "../../proxy/bulk/bulk-messages.js";
import { readHeld as readHeldPublication, readToDaemon as readFromProxy, readToProxy } from "../../proxy/messages.js";

t.test("no reader throws, whatever it is given, and what it takes has a kind", (t) => {
  const readers = [
    readHeldSandbox,
    readFromDns,
    readToServer,
    readFromWorker,
    readHeldPublication,
    readFromProxy,
    readToProxy,
    readToWorker,
    readFirstToServer,
    readFromServer,
  ];
  const kinds = [
    "hello",
    "held",
    "held-all",
    "want-sockets",
    "reported",
    "explained",
    "log",
    "open",
    "retarget",
    "progress",
    "take",
    "endpoint",
    "sandbox",
    "sockets",
    "gap",
  ];
  const value = fc.oneof(
    fc.jsonValue(),
    fc.dictionary(
      fc.constantFrom("kind", "publication", "report", "sandbox", "endpoint", "queries", "udp", "id"),
      fc.oneof(fc.constantFrom(...kinds), fc.jsonValue()),
    ),
  );
  const holds = () =>
    fc.assert(
      fc.property(value, (given) => readers.every((read) => typeof (read(given)?.kind ?? "") === "string")),
      { seed: 3, numRuns: 2000 },
    );
  t.doesNotThrow(holds);
  t.end();
});
