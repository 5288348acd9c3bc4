import type { Peer } from "./peers/peer.js";
import type { Question, Site } from "./site.js";

/** Asks a peer every question once, and throws unless each answer is the right one: speed is no merit without it. */
export async function checkAnswers(site: Site, peer: Peer): Promise<void> {
  const { address: server, port } = peer.target;
  const unique = new Map(site.questions.map((question) => [`${question.name} ${question.type}`, question]));
  for (const question of unique.values()) {
    const { rcode, answers } = await peer.asker.dig(question.name, question.type, { server, port });
    const data = answers.map((answer) => String(answer.data));
    if (rcode === "NOERROR" && data.some((value) => isExpected(question, value, site.network))) continue;
    throw new Error(`${peer.name} answers ${question.name} ${question.type} with ${rcode} ${data.join(" ")} instead of ${question.expected}`);
  }
}

/** A PTR record may or may not tell the network's name: aardvark-dns knows containers by their name alone. */
function isExpected({ type, expected }: Question, value: string, network: string): boolean {
  return value === expected || (type === "PTR" && `${value}.${network}` === expected);
}
