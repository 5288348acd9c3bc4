// What the messages of bulk-protocol.ts must look like to be used. Whoever sends others was broken into, or is of another version.
import {
  amount,
  flag,
  integer,
  listOf,
  messageReader,
  oneOf,
  optional,
  record,
  text,
  word,
} from "../../common/shape.js";
import { GONE_AT_MOST } from "../protocol.js";
import { PROTOCOL, type EndRecord, type FromWorker, type ToWorker } from "./bulk-protocol.js";

const count = integer(0);
const addresses = listOf(word(64), GONE_AT_MOST);

/** What a bulk worker says, if it makes sense. */
export const readFromWorker = messageReader<FromWorker>({
  ready: { protocol: oneOf(PROTOCOL) },
  progress: { publication: count, ended: count, bytesToContainer: count, bytesToClients: count },
});

const end = record<EndRecord>({ ended: flag, shut: flag, unsent: optional(text(4 << 20)) });

/** What pontoon-proxy says to a bulk worker, if it makes sense. */
export const readToWorker = messageReader<ToWorker>({
  take: { publication: count, halfClosedIdleMs: amount, to: word(64), client: end, container: end },
  end: { publication: count, to: optional(addresses) },
});
