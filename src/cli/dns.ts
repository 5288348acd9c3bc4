import recordTypes from "dns-packet/types.js";
import dnsPacket, { type Answer, type DecodedPacket, type RecordType } from "dns-packet";
import { keyOfText } from "../../dns/wire/name.js";
import type { Explanation } from "../../dns/protocol.js";
import type { RecordRow } from "../names/record-rows.js";
import { PontoonError } from "../../common/errors.js";
import { formatRows, formatTable } from "./table.js";

/** The table of names as people read it. */
export function recordsText(rows: readonly RecordRow[]): string[] {
  if (rows.length === 0) return ["No container has a name on a user-defined network."];
  return formatTable(
    ["NETWORK", "NAME", "CONTAINER", "IPV4", "IPV6", "TTL"],
    rows.map(({ network, name, container, ipv4, ipv6, ttl }) => [
      network,
      name,
      container,
      ipv4 ?? "-",
      ipv6 ?? "-",
      `${ttl} s`,
    ]),
  );
}

/** A query as a container would send it, base64. Throws BAD_QUESTION. */
export function encodeQuestion(name: string, type: string): string {
  const problem = (reason: string, cause?: unknown) =>
    new PontoonError(
      "BAD_QUESTION",
      `${name} ${type}`,
      `${name} ${type} cannot be asked: ${reason}; write a name and a type such as A, AAAA, PTR or SRV`,
      { cause },
    );
  if (name !== "." && keyOfText(name) === undefined) throw problem("labels have 1 to 63 bytes, names 255 at most");
  const wireType = nameOfType(type.toUpperCase());
  if (recordTypes.toType(wireType) === 0) throw problem(`${type} is not a record type`);
  try {
    const id = Math.floor(Math.random() * 65536);
    const edns: Answer = {
      type: "OPT",
      name: ".",
      udpPayloadSize: 4096,
      extendedRcode: 0,
      ednsVersion: 0,
      flags: 0,
      flag_do: false,
      options: [],
    };
    const questions = [{ name, type: wireType as RecordType, class: "IN" as const }];
    return dnsPacket
      .encode({ type: "query", id, flags: dnsPacket.RECURSION_DESIRED, questions, additionals: [edns] })
      .toString("base64");
  } catch (error) {
    throw problem((error as Error).message, error);
  }
}

/** The request to forget cached answers. Throws BAD_QUESTION. */
export function flushRequest(name: string | undefined): { readonly name?: string } {
  if (name === undefined) return {};
  if (keyOfText(name) === undefined)
    throw new PontoonError(
      "BAD_QUESTION",
      name,
      `${name} is not a name in DNS: labels have 1 to 63 bytes, names 255 at most; write a name, or none for all`,
    );
  return { name };
}

export function flushText({ forgotten }: { readonly forgotten: number }): string[] {
  return [`${forgotten} answer${forgotten === 1 ? "" : "s"} of upstream servers forgotten`];
}

/** A record type as dns-packet calls it: it has no names for the newer ones, nor for `TYPE65` (RFC 3597). */
function nameOfType(type: string): string {
  const number = { HTTPS: "65", SVCB: "64" }[type] ?? /^TYPE(\d{1,5})$/.exec(type)?.[1];
  return number === undefined ? type : `UNKNOWN_${number}`;
}

/** What `pontoon dns query --json` prints. */
export interface ExplainedAnswer {
  readonly question: string;
  readonly rcode: string;
  readonly answers: readonly {
    readonly name: string;
    readonly type: string;
    readonly ttl: number;
    readonly data: string;
  }[];
  readonly source: Explanation["source"];
  /** Milliseconds in the server. */
  readonly took: number;
  readonly steps: readonly string[];
}

export function explainedAnswer(question: string, explanation: Explanation): ExplainedAnswer {
  const reply = dnsPacket.decode(Buffer.from(explanation.reply, "base64")) as DecodedPacket & { rcode: string };
  const answers = (reply.answers ?? []).map((answer) => ({
    name: answer.name,
    type: answer.type,
    ttl: "ttl" in answer ? (answer.ttl ?? 0) : 0,
    data: dataText(answer),
  }));
  return {
    question,
    rcode: reply.rcode,
    answers,
    source: explanation.source,
    took: explanation.took,
    steps: explanation.steps,
  };
}

export function explainedText({ question, rcode, answers, steps, took, source }: ExplainedAnswer): string[] {
  const records = formatRows(answers.map(({ name, type, ttl, data }) => [name, String(ttl), type, data]));
  const where = source.kind === "local" ? [`found on network ${source.network}: ${source.names.join(", ")}`] : [];
  return [
    `${question}: ${rcode}, ${answers.length} record${answers.length === 1 ? "" : "s"}, ${took} ms`,
    ...records,
    ...[...steps, ...where].map((step) => `- ${step}`),
  ];
}

function dataText(answer: Answer): string {
  if (!("data" in answer)) return "";
  const { data } = answer;
  if (typeof data === "string") return data;
  if (Buffer.isBuffer(data)) return data.toString();
  if (Array.isArray(data)) return data.map((part) => JSON.stringify(part.toString())).join(" ");
  if (answer.type === "SRV")
    return `${answer.data.priority ?? 0} ${answer.data.weight ?? 0} ${answer.data.port} ${answer.data.target}`;
  return JSON.stringify(data);
}
