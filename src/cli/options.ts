import { InvalidArgumentError } from "commander";
import { Networks } from "../../proxy/publication/networks.js";
import { canonicalAddress } from "../../common/address.js";

// Values of options. Each throws commander's InvalidArgumentError for wrong usage, with what to write instead.

/** @returns the address in its canonical form */
export function addressOption(value: string): string {
  const address = canonicalAddress(value);
  if (address === undefined)
    throw new InvalidArgumentError("write an IP address of this host, such as 127.0.0.1 or ::1.");
  return address;
}

/** For options that may be given several times. */
export function networkOption(value: string, previous: readonly string[] = []): readonly string[] {
  try {
    new Networks([value]);
  } catch {
    throw new InvalidArgumentError("write a network such as 10.0.0.0/8 or fd00::/8, or an address.");
  }
  return [...previous, value];
}

export function countOption(value: string): number {
  const count = Number(value);
  if (!/^[0-9]+$/.test(value) || !Number.isSafeInteger(count))
    throw new InvalidArgumentError("write a whole number, digits only.");
  return count;
}

/** @returns ms, of seconds that may have a fraction */
export function secondsOption(value: string): number {
  const seconds = Number(value);
  if (!/^[0-9]+(\.[0-9]+)?$/.test(value) || seconds > longestTime)
    throw new InvalidArgumentError(`write seconds, such as 10 or 0.5, ${longestTime} at most.`);
  return Math.round(seconds * 1000);
}

/** As {@link secondsOption}, for a time that cannot be 0. */
export function someSecondsOption(value: string): number {
  const ms = secondsOption(value);
  if (ms === 0) throw new InvalidArgumentError("write more than 0 seconds.");
  return ms;
}

const longestTime = 1_000_000; // seconds; timers of Node end at 2^31 ms
