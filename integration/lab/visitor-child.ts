// Runs in some network namespace and visits published ports, whose containers send back what they get.
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { answerRequests } from "./helper-child.js";

export interface Place {
  protocol?: "tcp" | "udp";
  ip: string;
  port: number;
}

export interface StormTally {
  /** Attempts to connect that were refused, or failed otherwise. */
  refused: number;
  /** Connections that were made and ended before they had answered. */
  broken: number;
  answered: number;
}

export type VisitorRequest =
  | { kind: "talk"; place: Place; text: string }
  | { kind: "stay"; place: Place }
  | { kind: "say"; visit: number; text: string }
  | { kind: "end"; visit: number }
  | { kind: "storm"; place: Place }
  | { kind: "tally" }
  | { kind: "calm" };

export type VisitorReply = string | number | StormTally;

interface Visit {
  say(text: string): Promise<string>;
  end(): void;
}

const clients = 4;
const patience = 10_000; // ms
const againAfter = 200; // ms; a datagram may be lost
const visits = new Map<number, Visit>();
let storm: { stopped: boolean; tally: StormTally; over: Promise<unknown> } | undefined;
let lastVisit = 0;

answerRequests<VisitorRequest, VisitorReply>(async (request) => {
  switch (request.kind) {
    case "talk": {
      const visit = await begin(request.place);
      return visit.say(request.text).finally(() => visit.end());
    }
    case "stay": {
      const visit = await begin(request.place);
      if ((await visit.say("begin")) !== "begin") throw new Error("it does not answer");
      visits.set(++lastVisit, visit);
      return lastVisit;
    }
    case "say":
      return visits.get(request.visit)!.say(request.text);
    case "end":
      visits.get(request.visit)!.end();
      visits.delete(request.visit);
      return "";
    case "storm": {
      const begun = { stopped: false, tally: { refused: 0, broken: 0, answered: 0 } };
      storm = { ...begun, over: Promise.resolve() };
      storm.over = Promise.all(Array.from({ length: clients }, () => visitAgainAndAgain(request.place)));
      return "";
    }
    case "tally":
      return storm!.tally;
    case "calm":
      storm!.stopped = true;
      await storm!.over;
      return storm!.tally;
  }
});

async function begin({ protocol = "tcp", ip, port }: Place): Promise<Visit> {
  if (protocol === "udp") return datagramVisit(createSocket(ip.includes(":") ? "udp6" : "udp4"), ip, port);
  const socket = connect({ host: ip, port, noDelay: true });
  await once(socket, "connect", { signal: AbortSignal.timeout(patience) }).catch((error: unknown) => {
    socket.destroy();
    throw error;
  });
  return streamVisit(socket);
}

function streamVisit(socket: Socket): Visit {
  const failed = new Promise<never>((_, reject) => {
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("the connection has ended")));
  });
  failed.catch(() => undefined);
  const say = async (text: string) => {
    let heard = "";
    const whole = new Promise<string>((resolve) =>
      socket.on("data", (bytes) => {
        heard += bytes.toString();
        if (heard.length >= text.length) resolve(heard);
      }),
    );
    socket.write(text);
    const late = sleep(patience, "", { ref: false }).then(() =>
      Promise.reject(new Error(`no answer within ${patience} ms`)),
    );
    return Promise.race([whole, failed, late]).finally(() => socket.removeAllListeners("data"));
  };
  return { say, end: () => socket.destroy() };
}

async function datagramVisit(socket: DatagramSocket, ip: string, port: number): Promise<Visit> {
  socket.on("error", () => undefined); // refused: it is asked again
  const say = (text: string) =>
    new Promise<string>((resolve, reject) => {
      const ask = () => socket.send(text, port, ip, () => undefined);
      const [again, late] = [setInterval(ask, againAfter), setTimeout(() => finish(), patience)];
      const finish = (reply?: string) => {
        clearInterval(again);
        clearTimeout(late);
        socket.off("message", hear);
        if (reply === undefined) reject(new Error(`no answer within ${patience} ms`));
        else resolve(reply);
      };
      const hear = (bytes: Buffer) => bytes.toString() === text && finish(text);
      socket.on("message", hear);
      ask();
    });
  return Promise.resolve({ say, end: () => socket.close() });
}

async function visitAgainAndAgain(place: Place): Promise<void> {
  const { tally } = storm!;
  while (!storm!.stopped) {
    let visit: Visit;
    try {
      visit = await begin(place);
    } catch {
      tally.refused++;
      await sleep(5);
      continue;
    }
    if ((await visit.say("x").catch(() => "")) === "x") tally.answered++;
    else tally.broken++;
    visit.end();
  }
}
