import { canonicalAddress, isAddress } from "../../common/address.js";
import { PontoonError } from "../../common/errors.js";

/** An address in its canonical form. Throws ADDRESS_INVALID. @param flag the option it was given with */
export function requireAddress(text: string, flag: string): string {
  if (isAddress(text)) return canonicalAddress(text)!;
  throw new PontoonError("ADDRESS_INVALID", text, `${flag}: ${text} is not an IP address`);
}
