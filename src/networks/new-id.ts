import { randomBytes } from "node:crypto";

/** An id such as Docker's objects have: 64 hexadecimal digits. */
export function newId(): string {
  return randomBytes(32).toString("hex");
}
