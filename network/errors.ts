import { PontoonError } from "../common/errors.js";

/** What the backend refuses or finds amiss. */
export class NetworkError extends PontoonError {
  override readonly name = "NetworkError";
}
