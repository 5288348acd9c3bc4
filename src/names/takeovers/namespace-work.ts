import type { Logger } from "pino";
import { describeError, errorCode } from "../../../common/errors.js";

/** Works in a sandbox's namespace. Never rejects. */
export type NamespaceWork = (sandbox: string, work: () => void | Promise<void>) => Promise<void>;

/** A namespace may end at any moment: that is no fault, and its pidfd tells. */
export function namespaceWork(log: Logger): NamespaceWork {
  return async (sandbox, work) => {
    try {
      await work();
    } catch (error) {
      const code = errorCode(error);
      if (code === "ENOENT" || code === "ESRCH" || code === "EINVAL") {
        log.debug({ sandbox: sandbox.slice(0, 12), code }, "a container's network namespace is gone");
        return;
      }
      log.warn(
        { sandbox: sandbox.slice(0, 12), reason: describeError(error) },
        "work in a container's network namespace failed",
      );
    }
  };
}
