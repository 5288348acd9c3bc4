import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";

const hello = "hello";
const tooLong = 60_000; // ms

/** Asks a port, behind which everything said comes back, until that is so. */
export async function firstAnswer(host: string, port: number): Promise<void> {
  const giveUpAt = performance.now() + tooLong;
  while (!(await isAnswered(host, port))) {
    if (performance.now() > giveUpAt) throw new Error(`port ${port} of ${host} does not answer`);
    await pause(2);
  }
}

async function isAnswered(host: string, port: number): Promise<boolean> {
  const socket = connect({ host, port });
  socket.end(hello);
  try {
    return (await text(socket)) === hello;
  } catch {
    return false;
  }
}
