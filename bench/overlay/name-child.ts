// Asks for a name inside a namespace, over and over, until it is there or gone, and takes the time.
import { createSocket } from "node:dgram";
import { decodeResponse, encodeQuery } from "../../integration/lab/dns-message.js";
import { answerRequests } from "../../integration/lab/helper-child.js";
import { now } from "./clock.js";

/** How long it is asked for, ms. */
const patience = 60_000;
/** Between two questions, ms, whether they are answered or not. */
const pace = 2;

export interface NameRequest {
  readonly name: string;
  readonly until: "there" | "gone";
}

/** When the first such answer came, on {@link now}'s clock. */
export interface NameReply {
  readonly at: number;
}

answerRequests(({ name, until }: NameRequest): Promise<NameReply> => {
  const socket = createSocket("udp4");
  const query = encodeQuery(name, "A");
  const isWanted = ({ addresses, rcode }: ReturnType<typeof decodeResponse>) =>
    until === "there" ? addresses.length > 0 : rcode === "NXDOMAIN";
  return new Promise<NameReply>((resolve, reject) => {
    const asking = setInterval(() => socket.send(query), pace);
    const late = setTimeout(() => finish(() => reject(new Error(`${name} is not ${until}`))), patience);
    function finish(settle: () => void): void {
      clearInterval(asking);
      clearTimeout(late);
      socket.close();
      settle();
    }
    socket.on("error", (error) => finish(() => reject(error)));
    socket.on("message", (message) => {
      const at = now();
      if (isWanted(decodeResponse(message, 0))) finish(() => resolve({ at }));
    });
    socket.connect(53, "127.0.0.11");
  });
});
