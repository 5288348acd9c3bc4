import { describeError, errorCode } from "../common/errors.js";
import type { ObjectRef, ObjectSteps } from "./plan/steps.js";
import type { Failure } from "./protocol.js";
import type { SeenSandbox } from "./seen.js";
import type { WantedEndpoint } from "./wanted.js";

// What work has come to, as it is told.

/** The kernel has taken the pair away with the container's namespace; the engine makes another with another id. */
export function linkGone(id: string, hostLink: string): Failure {
  const message = `the link ${hostLink} is not there any more`;
  return { object: { kind: "endpoint", id }, code: "LINK_GONE", subject: hostLink, message };
}

/** Why steps for an object were not carried out. */
export function failureOf(object: ObjectRef, error: unknown): Failure {
  const subject = typeof error === "object" && error !== null && "subject" in error ? String(error.subject) : object.id;
  return { object, code: errorCode(error) ?? "UNKNOWN", subject, message: describeError(error) };
}

/** Endpoints whose sandbox is not there: they wait for it. */
export function absent(endpoints: readonly WantedEndpoint[], sandboxes: ReadonlyMap<string, SeenSandbox>): Failure[] {
  return endpoints
    .filter(({ sandbox }) => sandboxes.get(sandbox)?.kind !== "there")
    .map(({ id, sandbox }) => ({
      object: { kind: "endpoint", id },
      code: "SANDBOX_GONE",
      subject: sandbox,
      message: "the sandbox's network namespace is not there",
    }));
}

/** Namespaces by sandbox; 0 for one that is not there. */
export function inodesOf(sandboxes: ReadonlyMap<string, SeenSandbox>): Map<string, number> {
  return new Map([...sandboxes].map(([id, seen]) => [id, seen.kind === "there" ? seen.inode : 0]));
}

/** How many steps there are. */
export function count(all: readonly ObjectSteps[]): number {
  return all.reduce((sum, { steps }) => sum + steps.length, 0);
}
