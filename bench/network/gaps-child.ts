// Sends a datagram every millisecond, each from a port of its own, and tells for how long none was answered; or answers them.
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { answerRequests } from "../../integration/lab/helper-child.js";
import { longestGap } from "./gaps.js";

export type GapsRequest =
  | { readonly do: "echo"; readonly port: number }
  | { readonly do: "send"; readonly address: string; readonly port: number }
  | { readonly do: "stop" };

export interface GapsReply {
  readonly sent: number;
  readonly answered: number;
  /** See {@link longestGap}, ms. */
  readonly longest: number;
}

const interval = 1; // ms
/** What has no answer by then will have none, ms. */
const patience = 500;

let sent: { readonly at: number; answered: boolean }[] = [];
let timer: NodeJS.Timeout | undefined;

answerRequests(async (request: GapsRequest): Promise<GapsReply> => {
  if (request.do === "echo") await echo(request.port);
  if (request.do === "send") start(request);
  if (request.do !== "stop") return { sent: 0, answered: 0, longest: 0 };
  clearInterval(timer);
  await new Promise((resolve) => setTimeout(resolve, patience));
  return tally();
});

async function echo(port: number): Promise<void> {
  const socket = createSocket("udp4");
  socket.on("message", (message, from) => socket.send(message, from.port, from.address));
  socket.bind(port);
  await once(socket, "listening");
}

function start({ address, port }: { readonly address: string; readonly port: number }): void {
  sent = [];
  timer = setInterval(() => {
    const one = { at: performance.now(), answered: false };
    sent.push(one);
    const socket = createSocket("udp4");
    const close = () => {
      clearTimeout(late);
      socket.close();
    };
    const late = setTimeout(close, patience);
    socket.once("message", () => {
      one.answered = true;
      close();
    });
    socket.once("error", close); // refused: nobody answers
    socket.send("?", port, address);
  }, interval);
}

function tally(): GapsReply {
  return { sent: sent.length, answered: sent.filter(({ answered }) => answered).length, longest: longestGap(sent) };
}
