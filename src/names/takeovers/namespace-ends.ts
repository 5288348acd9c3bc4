import type { NamespacePlace } from "../../inventory/types.js";
import { EPOLLIN } from "../../../linux/constants.js";
import { NamespaceFiles, type FileWatch } from "../../../linux/namespace-files.js";
import type { Poller } from "../../../linux/poller.js";

/** Tells when namespaces end for us: with a process, or with a name. */
export class NamespaceEnds {
  readonly #files = new NamespaceFiles();

  constructor(private readonly poller: Poller) {}

  /**
   * @param end a process's pidfd, which is watched and stays the caller's; else a descriptor of the namespace
   * @param onEnd called once, and never from inside
   */
  watch(place: NamespacePlace, end: number, onEnd: () => void): FileWatch {
    return place.kind === "process"
      ? this.poller.watch(end, EPOLLIN, onEnd)
      : this.#files.watch(place.path, end, onEnd);
  }
}
