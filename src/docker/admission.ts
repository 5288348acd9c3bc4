import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import { release } from "node:os";
import { PontoonError } from "../../common/errors.js";
import { FileLock, lockFolder } from "../../linux/file-lock.js";
import type { DockerAddress } from "./address.js";
import { daemonSettingsOf, type DaemonSettings } from "./daemon-dns.js";
import { isAsleep, placeOfDockerd, refusalAt } from "./dockerd.js";
import type { Engine, EngineChecks, EngineIdentity } from "./engine.js";
import type { DockerdPlace } from "./place.js";

/** Which dockerd is followed: where it runs, that it may be served from here, and that no other daemon follows it. */
export class Admission implements EngineChecks {
  #place: DockerdPlace = { kind: "untold" };
  #rootDir: string | undefined;
  #settings: DaemonSettings | undefined;
  /** Of the address. */
  #lock: FileLock | undefined;
  /** Of the dockerd that answers, by whatever address. */
  #identityLock: { readonly name: string; readonly lock: FileLock } | undefined;

  /**
   * @param dockerHost the address as the user gave it, for messages
   * @param isShared whether other daemons may follow the same dockerd: this one takes over nothing
   */
  constructor(
    private readonly dockerHost: string,
    private readonly address: DockerAddress,
    private readonly isShared: boolean,
  ) {}

  /** Where dockerd keeps its files; undefined before one was followed. */
  get rootDir(): string | undefined {
    return this.#rootDir;
  }

  /** Of the dockerd that is followed, or was last. */
  get place(): DockerdPlace {
    return this.#place;
  }

  /** Of that dockerd; undefined before one was found. */
  get settings(): DaemonSettings | undefined {
    return this.#settings;
  }

  /** Those that are to be released at the end. */
  get locks(): FileLock[] {
    return [this.#lock, this.#identityLock?.lock].filter((lock) => lock !== undefined);
  }

  /** Looks where the dockerd is that answers now. Rejects with DOCKERD_ELSEWHERE when it cannot be served from here. */
  async admit(engine: Engine): Promise<void> {
    const place = await placeOfDockerd(this.address);
    if (!place) return; // nobody is there: the feed waits
    const refusal = await refusalAt(engine, place);
    if (refusal !== undefined) throw new PontoonError("DOCKERD_ELSEWHERE", this.dockerHost, refusal);
    this.#place = place;
    this.#settings = await daemonSettingsOf(place.kind === "seen" ? place.pid : undefined);
  }

  /** Keeps other daemons from this address. Throws ALREADY_RUNNING when one follows it, LOCK_UNFIT. */
  lock(): void {
    if (!this.isShared) this.#lock = takeLock(canonicalAddress(this.address), this.dockerHost);
  }

  async mayConnect(): Promise<void> {
    if (this.address.kind === "unix" && (await isAsleep(this.address.path)))
      throw new Error(
        `${this.address.path} is held by systemd alone, and a connection would start dockerd; \`systemctl start docker\` does`,
      );
  }

  /** Throws DOCKERD_ELSEWHERE for a dockerd of another machine, ALREADY_RUNNING when another daemon follows it by another address. */
  recognise({ id, rootDir, kernel }: EngineIdentity): void {
    this.#rootDir = rootDir;
    const host = this.dockerHost;
    if (!isSameKernel(kernel, release()))
      throw new PontoonError(
        "DOCKERD_ELSEWHERE",
        host,
        `dockerd at ${host} runs on another machine (Linux ${kernel}, here ${release()}); run pontoon there, beside it`,
      );
    const name = `${id} ${rootDir}`;
    if (this.isShared || this.#identityLock?.name === name) return;
    this.#identityLock?.lock.release();
    this.#identityLock = undefined;
    this.#identityLock = { name, lock: takeLock(name, host) };
  }
}

/** Two daemons would take over the same containers, one after the other, for ever. */
function takeLock(name: string, dockerHost: string): FileLock {
  const path = `${lockFolder()}/pontoon-${createHash("sha256").update(name).digest("hex").slice(0, 8)}.lock`;
  const lock = FileLock.take(path);
  if (!lock)
    throw new PontoonError(
      "ALREADY_RUNNING",
      dockerHost,
      `another pontoon daemon follows ${dockerHost}; stop it first, \`systemctl stop pontoon\` if it is the installed one`,
    );
  return lock;
}

/** One text for one socket, by whatever links it is named. */
function canonicalAddress(address: DockerAddress): string {
  if (address.kind === "tcp") return `tcp ${address.host} ${address.port}`;
  if (address.kind === "ssh") return `ssh ${address.host} ${address.socket ?? ""}`;
  try {
    return realpathSync(address.path);
  } catch {
    return address.path; // not there yet; its folder may be a link too, which the lock by identity is for
  }
}

/**
 * Whether what dockerd says of its kernel may be said of this one: it leaves out or adds a third number where the kernel
 * has none.
 * @param told empty when it says nothing
 */
export function isSameKernel(told: string, here: string): boolean {
  const parts = (text: string) =>
    /^(\d+)\.(\d+)(?:\.(\d+))?(.*)$/
      .exec(text)
      ?.slice(1)
      .map((part) => part ?? "0");
  return told === "" || parts(told)?.join() === parts(here)?.join();
}
