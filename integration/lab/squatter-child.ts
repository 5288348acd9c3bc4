// Listens at ports of the host until it is released, as a program that had them before does.
import { once } from "node:events";
import { createServer } from "node:net";
import { answerRequests } from "./helper-child.js";

answerRequests(async ({ first, count }: { first: number; count: number }) => {
  for (let port = first; port < first + count; port++) {
    const server = createServer().listen(port, "0.0.0.0");
    await once(server, "listening");
  }
  return { ports: count };
});
