// Runs in some network namespace, sends as fast as it can there, or receives and tells how fast that was.
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { answerRequests } from "../lab/helper-child.js";

export type RateRequest =
  /** Sends to whoever connects to this port. */
  | { readonly kind: "send"; readonly port: number }
  /** Receives from there for so long, ms. Is answered with bits a second. */
  | { readonly kind: "receive"; readonly ip: string; readonly port: number; readonly time: number };

/** What may pass at once has passed by then, ms. */
const before = 1_000;
const piece = Buffer.alloc(65_536);

answerRequests<RateRequest, number>(async (request) => {
  if (request.kind === "receive") return receive(request);
  await once(createServer(flood).listen(request.port), "listening");
  return 0;
});

function flood(socket: Socket): void {
  socket.on("error", () => undefined);
  const send = () => {
    while (!socket.destroyed && socket.write(piece));
  };
  socket.on("drain", send);
  send();
}

async function receive({ ip, port, time }: RateRequest & { kind: "receive" }): Promise<number> {
  const socket = connect({ host: ip, port });
  let bytes = 0;
  socket.on("data", (received) => (bytes += received.length));
  await once(socket, "connect");
  await pause(before);
  const [begun, already] = [performance.now(), bytes];
  await pause(time);
  const rate = ((bytes - already) * 8) / ((performance.now() - begun) / 1000);
  socket.destroy();
  return rate;
}
