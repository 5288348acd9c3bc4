import { createSocket } from "node:dgram";
import { decodeResponse, encodeQuery, type DnsResponse } from "../../integration/lab/dns-message.js";

const askEvery = 1; // ms
/** TTL, seconds, of the containers that are measured: tells pontoon's own records from what Docker's resolver says. */
export const ownTtl = 7;

/**
 * Asks 127.0.0.11 for a name again and again, also while answers are outstanding.
 * @param within rejects after so many milliseconds
 * @returns when the first answer arrived that `isWanted`, on this process's clock, and the answer
 */
export function askUntil(
  name: string,
  isWanted: (response: DnsResponse) => boolean,
  within: number,
): Promise<{ at: number; response: DnsResponse }> {
  return new Promise((resolve, reject) => {
    const socket = createSocket("udp4");
    const ask = () => {
      asked++;
      socket.send(encodeQuery(name, "A"), 53, "127.0.0.11");
    };
    const asking = setInterval(ask, askEvery);
    let asked = 0;
    const heard: DnsResponse[] = [];
    const giveUp = () => {
      const last = `${JSON.stringify(heard.at(-1)?.answers)} (${heard.at(-1)?.rcode})`;
      const counts = `${heard.length} of ${asked} answered, last with ${last}`;
      finish(() => reject(new Error(`no right answer about ${name} within ${within} ms: ${counts}`)));
    };
    const deadline = setTimeout(giveUp, within);
    const finish = (settle: () => void) => {
      clearInterval(asking);
      clearTimeout(deadline);
      socket.close();
      settle();
    };
    socket.on("error", (error) => finish(() => reject(error)));
    socket.on("message", (message) => {
      const at = performance.now();
      const response = decodeResponse(message, 0);
      heard.push(response);
      if (isWanted(response)) finish(() => resolve({ at, response }));
    });
    ask();
  });
}
