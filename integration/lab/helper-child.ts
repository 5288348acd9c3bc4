import type { HelperReply } from "./helper-process.js";

/** The other end of a HelperProcess: answers each request with what `handle` returns, ends with the channel. */
export function answerRequests<Request, Reply>(handle: (request: Request) => Promise<Reply>): void {
  process.on("disconnect", () => process.exit());
  process.on("message", (message) => {
    const { id, request } = message as { id: number; request: Request };
    handle(request).then(
      (reply) => send({ id, reply }),
      (error: unknown) => send({ id, error: error instanceof Error ? error.message : String(error) }),
    );
  });
}

function send<Reply>(reply: HelperReply<Reply>): void {
  if (process.connected) process.send!(reply);
}
