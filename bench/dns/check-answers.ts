import type { Peer } from "../peers/peer.js";
import type { QuestionSet } from "./questions.js";

/** Asks a peer every question once, and throws unless each answer is the right one: speed is no merit without it. */
export async function checkAnswers(peer: Peer, { questions }: QuestionSet): Promise<void> {
  const { address: server, port } = peer.target;
  const unique = new Map(questions.map((question) => [`${question.name} ${question.type}`, question]));
  for (const question of unique.values()) {
    const { rcode, addresses } = await peer.client.dig(question.name, question.type, { server, port });
    if (rcode === "NOERROR" && addresses.length === 1 && addresses[0] === question.expected) continue;
    throw new Error(
      `${peer.name} answers ${question.name} ${question.type} with ${rcode} ${addresses.join(" ")} instead of ${question.expected}`,
    );
  }
}
