import { z } from "zod";
import { describeError, PontoonError } from "../../../common/errors.js";
import type { Attachments } from "./attachments.js";
import { parseCniCall, parseCniConfig, type CniCall, type CniConfig } from "./cni-config.js";
import { cniError } from "./cni-error.js";
import { cniKey, cniRequest, networkOf } from "./cni-request.js";
import { cniResult, expectedOf } from "./cni-result.js";
import {
  createdNetwork,
  netavarkKey,
  netavarkRequest,
  networkOfNetavark,
  parseNetavarkExec,
  parseNetavarkNetwork,
  statusBlock,
} from "./netavark.js";

/** What the program that an engine has started prints, and whether it ends with 0. */
export interface EngineReply {
  readonly ok: boolean;
  readonly text: string;
}

/** For what fails before it is known in which version to say so. */
const latest = "1.1.0";
const netavarkCall = z.object({
  command: z.enum(["create", "setup", "teardown"]),
  netns: z.string().max(4096).default(""),
});

/** Calls of container engines, as `pontoon-cni` passes them on. */
export class EngineCalls {
  constructor(private readonly attachments: Attachments) {}

  /** A call of CNI's. Never rejects. @param values what stands in the environment @param input what stands on standard input */
  async cni(values: unknown, input: string): Promise<EngineReply> {
    let call: CniCall | undefined;
    let config: CniConfig | undefined;
    try {
      call = parseCniCall(values);
      config = parseCniConfig(input);
      return done(await this.#cni(call, config));
    } catch (error) {
      return failed(cniError(config?.cniVersion ?? latest, error, call?.command === "STATUS"));
    }
  }

  async #cni(call: CniCall, config: CniConfig): Promise<object | undefined> {
    switch (call.command) {
      case "ADD": {
        const attached = await this.attachments.add(cniRequest(call, config));
        return cniResult(config.cniVersion, attached, call.netns, config.prevResult);
      }
      case "DEL":
        return nothing(this.attachments.remove(cniKey(call, config)));
      case "CHECK": {
        const expected = expectedOf(config.prevResult, call.ifname);
        this.attachments.check(cniKey(call, config), expected, cniRequest(call, config).ports.length > 0);
        return undefined;
      }
      case "GC":
        return nothing(this.attachments.collect(config.name, validAttachments(config)));
      case "STATUS":
        return nothing(this.attachments.requireReady(networkOf(config)));
    }
  }

  /** A call of netavark's, or of podman's for it. Never rejects. */
  async netavark(values: unknown, input: string): Promise<EngineReply> {
    try {
      const { command, netns } = netavarkCall.parse(values);
      return done(await this.#netavark(command, netns, input));
    } catch (error) {
      return failed({ error: describeError(error) });
    }
  }

  async #netavark(command: "create" | "setup" | "teardown", netns: string, input: string): Promise<object | undefined> {
    if (command === "create") {
      const network = parseNetavarkNetwork(input);
      await this.attachments.requireReady(networkOfNetavark(network));
      return createdNetwork(network);
    }
    const told = parseNetavarkExec(input);
    if (command === "teardown") return nothing(this.attachments.remove(netavarkKey(told)));
    return statusBlock(await this.attachments.add(netavarkRequest(told, netns)));
  }
}

/** Whoever names none has said nothing: what is attached may well be in use. */
function validAttachments({ name, "cni.dev/valid-attachments": valid }: CniConfig) {
  if (valid === undefined)
    throw new PontoonError(
      "CNI_CONFIG_INVALID",
      name,
      "cni.dev/valid-attachments is missing, so that it is not known what may be removed; the runtime has to name it",
    );
  return (valid ?? []).map(({ containerID, ifname }) => ({ container: containerID, ifname }));
}

async function nothing(work: Promise<void>): Promise<undefined> {
  await work;
  return undefined;
}

function done(answer: object | undefined): EngineReply {
  return { ok: true, text: answer === undefined ? "" : `${JSON.stringify(answer)}\n` };
}

function failed(answer: object): EngineReply {
  return { ok: false, text: `${JSON.stringify(answer)}\n` };
}
