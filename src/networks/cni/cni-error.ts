import { describeError, errorCode, PontoonError } from "../../../common/errors.js";

/** Well-known codes of the specification of CNI 1.1, section 2. */
const wellKnown: Readonly<Record<string, number>> = {
  CNI_VERSION_UNKNOWN: 1,
  ATTACHMENT_UNKNOWN: 3,
  CNI_CALL_INVALID: 4,
  CNI_CONFIG_UNREADABLE: 6,
  CNI_CONFIG_INVALID: 7,
  NETWORK_UNKNOWN: 7,
  // It clears up by itself, or somebody sees to it: to be tried again.
  NETWORKS_OFF: 11,
  DAEMON_ENDING: 11,
  NO_DAEMON: 11,
  SERVER_SILENT: 11,
};
/** All others are a plugin's own, from 100 on. */
const ownCode = 100;
const notAvailable = 50;

/** What a plugin prints when it fails. @param ofStatus it says that nothing can be attached, whatever the reason */
export function cniError(cniVersion: string, error: unknown, ofStatus = false): object {
  const name = errorCode(error) ?? "INTERNAL";
  const subject = error instanceof PontoonError ? ` ${error.subject}` : "";
  return {
    cniVersion,
    code: ofStatus ? notAvailable : (wellKnown[name] ?? ownCode),
    msg: describeError(error),
    details: `${name}${subject}`,
  };
}
