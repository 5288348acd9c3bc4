import { join } from "node:path";
import { rmSync, statSync } from "node:fs";
import { describeError, errorCode, PontoonError } from "../../common/errors.js";
import type { FileLock } from "../../linux/file-lock.js";
import { systemCode } from "./system-code.js";
import { loadLmdb, openEnvironment, type Environment } from "./lmdb.js";
import { asidePrefix, placeOf, readRecord, recordAt, recordText } from "./records.js";
import { checkFolder, faultOfFile, lockStore, makeFolder, makeStoreFile, syncFolder } from "./store-file.js";
import type { Change, DamagedRecord, Kind, Store } from "./store.js";
import { randomUUID } from "node:crypto";

/** Letters of a damaged record that are told. */
const toldOfText = 200;

/** Bytes of the file, from which on nothing more is written: some 100,000 records are in a tenth of it. */
const fileAtMost = 256 * 1024 * 1024;

/** The file of the state directory that everything is in. */
export const storeFile = "store.mdb";

/**
 * A store in a file of its own, on lmdb. Nothing is made, and no file mapped, before something is to be stored. A file that may
 * only be read is read; what is written then is refused, until it may be written again.
 */
export class EmbeddedStore implements Store {
  readonly #path: string;
  readonly #lockPath: string;
  #lock: FileLock | undefined;
  #environment: Environment | undefined;
  #isReadOnly = false;
  #hasLost = true;
  #unread: PontoonError | undefined;

  /**
   * @param folder the state directory; made when something is stored
   * @param onDamage told of each record that is put aside
   */
  constructor(
    private readonly folder: string,
    private readonly onDamage: (record: DamagedRecord) => void,
  ) {
    this.#path = join(folder, storeFile);
    this.#lockPath = `${this.#path}-lock`; // lmdb's name for it
  }

  get hasLost(): boolean {
    return this.#hasLost;
  }

  /**
   * Loads what is needed from now on, and looks whether everything can be read. Throws STATE_DIR_UNFIT, ALREADY_RUNNING,
   * and STORE_UNREADABLE: then the files are as they were, and nothing can be stored.
   */
  open(): void {
    checkFolder(this.folder);
    try {
      this.#requireLibrary();
      if (!this.#isThere()) return;
      this.#hasLost = false;
      this.#openToRead();
      this.#refuseNewer();
    } catch (error) {
      if (errorCode(error) === "STORE_UNREADABLE") this.#unread = error as PontoonError;
      this.#closeNow();
      throw error;
    }
  }

  all(kind: Kind): ReadonlyMap<string, unknown> {
    if (this.#unread) throw this.#unread;
    const values = new Map<string, unknown>();
    for (const { key, text } of this.#texts(kind)) {
      const record = readRecord(kind, text);
      if ("value" in record) values.set(key, record.value);
      else this.putAside(kind, key, "damage" in record ? record.damage : `has version ${record.newerVersion}`);
    }
    return values;
  }

  write(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    const entries = changes.map(({ kind, key, value }) => ({
      place: placeOf(kind, key),
      text: value === undefined ? undefined : recordText(kind, value),
    }));
    try {
      this.#commit((environment) => {
        for (const { place, text } of entries)
          if (text === undefined) environment.removeSync(place);
          else environment.putSync(place, text);
      });
    } catch (error) {
      if (["STATE_DIR_UNFIT", "STORE_UNREADABLE"].includes(errorCode(error) ?? "")) throw error;
      const what = `${this.#path} cannot be written (${systemCode(error)})`;
      const remedy = `make room or permit writing in ${this.folder}, or give another --state-dir`;
      throw new PontoonError(
        "STORE_UNWRITABLE",
        this.#path,
        `${what}, so what was to be remembered would be forgotten; ${remedy}`,
        { cause: error },
      );
    }
  }

  putAside(kind: Kind, key: string, reason: string): void {
    const place = `${kind}/${key}`;
    const text = this.#environment?.get(place);
    if (text === undefined) return;
    this.#hasLost = true;
    this.onDamage({ kind, key, reason, text: text.slice(0, toldOfText) });
    try {
      this.#commit((environment) => {
        environment.putSync(`${asidePrefix}${place}`, text);
        environment.removeSync(place);
      });
    } catch {
      // told already; it stays where it is, and is told of again at the next start
    }
  }

  close(): Promise<void> {
    this.#closeNow();
    return Promise.resolve();
  }

  #closeNow(): void {
    void this.#environment?.close(); // at once, since nothing is written in the background
    this.#environment = undefined;
    this.#lock?.letGo(); // not before: closing the file takes lmdb's own locks of it away
    this.#lock = undefined;
  }

  #requireLibrary(): void {
    try {
      loadLmdb();
    } catch (error) {
      const remedy = "it needs glibc 2.34 or musl, and libstdc++ of GCC 11, or later ones";
      throw this.#unreadable(`cannot be used: lmdb does not load on this system (${describeError(error)}); ${remedy}`);
    }
  }

  /** Throws STORE_UNREADABLE for a file that is no whole store. */
  #isThere(): boolean {
    let fault;
    try {
      fault = faultOfFile(this.#path);
    } catch (error) {
      if (errorCode(error) === "FILE_UNFIT") throw this.#unreadable("is not a regular file; move it away", error);
      throw this.#unreadable(
        `cannot be read (${systemCode(error)}); check it and its folder, or give another --state-dir`,
        error,
      );
    }
    if (fault === "missing" || fault === "blank") return false;
    if (fault === undefined) return true;
    const remedy = fault.isNewer
      ? "install the newer pontoon that wrote it again, or move the file away and begin anew"
      : "put a copy of it back, or move the file away and begin anew";
    throw this.#unreadable(`${fault.reason}; ${remedy}`);
  }

  /** Opens a file that is there. */
  #openToRead(): void {
    try {
      this.#openToWrite();
    } catch (error) {
      if (errorCode(error) === "ALREADY_RUNNING") throw error;
      if (systemCode(error) !== "EROFS")
        throw this.#unreadable(
          `cannot be opened (${systemCode(error)}); check it and its folder, or give another --state-dir`,
          error,
        );
      this.#environment = openEnvironment(this.#path, { readOnly: true });
      this.#isReadOnly = true;
    }
  }

  #openToWrite(): void {
    this.#lock ??= lockStore(this.#lockPath, this.folder);
    this.#environment = openEnvironment(this.#path, { readOnly: false });
    this.#isReadOnly = false;
  }

  #refuseNewer(): void {
    for (const { key: place, value: text } of this.#environment!.getRange()) {
      const record = recordAt(place);
      const read = record && readRecord(record.kind, text);
      if (read && "newerVersion" in read)
        throw this.#unreadable(
          `was written by a newer pontoon (version ${read.newerVersion} of a ${record.kind}); ` +
            "install that one again, or move the file away and begin anew",
        );
    }
  }

  #texts(kind: Kind): { readonly key: string; readonly text: string }[] {
    if (!this.#environment) return [];
    const [start, end] = [`${kind}/`, `${kind}0`]; // what follows `/`
    return [...this.#environment.getRange({ start, end })].map(({ key, value }) => ({
      key: key.slice(start.length),
      text: value,
    }));
  }

  /** Has something written, all or none of it. */
  #commit(work: (environment: Environment) => void): void {
    if (this.#unread) throw this.#unread;
    checkFolder(this.folder);
    if (!this.#environment || this.#isReadOnly) this.#prepareToWrite();
    const environment = this.#environment!;
    const size = statSync(this.#path).size;
    if (size > fileAtMost) throw new Error(`it has ${size} bytes already, ${fileAtMost} are allowed`);
    environment.transactionSync(() => work(environment));
  }

  #prepareToWrite(): void {
    if (this.#isReadOnly) return this.#openAgainToWrite();
    makeFolder(this.folder);
    if (this.#isThere()) throw this.#unreadable("has come while pontoon ran; restart the daemon, which will read it");
    try {
      this.#lock = lockStore(this.#lockPath, this.folder);
      makeStoreFile(this.#path);
      this.#openToWrite();
      this.#environment!.transactionSync(() =>
        this.#environment!.putSync(placeOf("meta", "id"), recordText("meta", randomUUID())),
      );
      syncFolder(this.folder);
    } catch (error) {
      this.#closeNow();
      rmSync(this.#path, { force: true });
      throw error;
    }
  }

  /** A library that has a file open gives the same opening out again. */
  #openAgainToWrite(): void {
    const lock = lockStore(this.#lockPath, this.folder);
    void this.#environment?.close();
    this.#environment = undefined;
    this.#lock = lock;
    try {
      this.#openToWrite();
    } catch (error) {
      this.#environment = openEnvironment(this.#path, { readOnly: true });
      throw error;
    }
  }

  #unreadable(what: string, cause?: unknown): PontoonError {
    return new PontoonError("STORE_UNREADABLE", this.#path, `${this.#path} ${what}`, { cause });
  }
}
