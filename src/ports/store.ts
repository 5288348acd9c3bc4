import {
  closeSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { isAddress } from "../../common/address.js";
import { describeError, errorCode, PontoonError } from "../../common/errors.js";
import { createFile, readRegularFileSync } from "../../common/files.js";
import { rememberedOptions } from "./option-schemas.js";
import type { PublishedPort } from "./published-port.js";
import { faultOfFolder } from "../../common/own-folder.js";

const version = 1;
const fileAtMost = 16 * 1024 * 1024; // bytes, some 80,000 ports

const port = z.number().int().min(1).max(65_535);
const portSchema = z.strictObject({
  container: z.string().min(1),
  transport: z.enum(["tcp", "udp"]),
  ip: z.string().refine((ip) => isAddress(ip), "is not an address"),
  hostPort: port,
  containerPort: port,
  options: rememberedOptions,
  byDefault: z.literal(true).exactOptional(),
  source: z.enum(["command", "label"]),
}) satisfies z.ZodType<PublishedPort>;

const versionSchema = z.looseObject({ version: z.number().int().positive() });
const fileSchema = z.strictObject({ version: z.literal(version), ports: z.array(portSchema) });
const listSchema = z.looseObject({ ports: z.array(z.unknown()) });

/** Files put aside; the last is written over then. */
const damagedAtMost = 5;
/** Of what is dropped so much is told: entries, and letters of each. */
const droppedTold = 3;
const entryTold = 200;

/** A file that did not make sense, or not all of it: a copy was put aside. */
export interface DamagedFile {
  /** Where that is. */
  readonly keptAs: string;
  /** What is wrong with it, on one line. */
  readonly reason: string;
  /** Ports that made sense, and are remembered on. */
  readonly kept: number;
  /** The first few entries that made none. */
  readonly dropped: readonly string[];
}

/** Undefined for what is no published port that could be remembered. */
export function publishedPortOf(value: unknown): PublishedPort | undefined {
  const read = portSchema.safeParse(value);
  return read.success ? read.data : undefined;
}

/** Remembers what pontoon publishes, in `publications.json` of the state directory. */
export class PublicationStore {
  readonly #path: string;
  #hasLost = false;

  /**
   * @param folder the state directory; made when something is saved
   * @param onDamage told by {@link load} of a file that was put aside
   */
  constructor(
    private readonly folder: string,
    private readonly onDamage: (file: DamagedFile) => void,
  ) {
    this.#path = join(folder, "publications.json");
  }

  /** Whether more may have been saved than {@link load} found: the file was missing, or damaged. */
  get hasLost(): boolean {
    return this.#hasLost;
  }

  /**
   * What was saved last; of a damaged file what makes sense, nothing if it is missing. Throws STATE_DIR_UNFIT and STORE_UNREADABLE, and
   * leaves the file alone then.
   */
  load(): readonly PublishedPort[] {
    this.#checkFolder();
    const text = this.#read();
    this.#hasLost = text === undefined;
    if (text === undefined) return [];
    const data = parseJson(text);
    const versioned = versionSchema.safeParse(data);
    if (versioned.success && versioned.data.version > version)
      throw this.#unreadable(
        `was written by a newer pontoon (version ${versioned.data.version} of the file, this one knows ${version}); ` +
          "install that one again, or move the file away and publish anew",
      );
    const file = fileSchema.safeParse(data);
    if (file.success) return file.data.ports;
    this.#hasLost = true;
    return this.#salvage(text, data, data === undefined ? "not JSON" : explain(file.error));
  }

  /** Puts a damaged file aside, and remembers what of it makes sense in its place. */
  #salvage(text: string, data: unknown, reason: string): readonly PublishedPort[] {
    const entries = data === undefined ? linesOf(text) : (listSchema.safeParse(data).data?.ports ?? []);
    const read = entries.map((entry) => ({ entry, port: publishedPortOf(entry) }));
    const ports = read.flatMap(({ port }) => port ?? []);
    const dropped = read
      .flatMap(({ entry, port }) => (port ? [] : [JSON.stringify(entry).slice(0, entryTold)]))
      .slice(0, droppedTold);
    const keptAs = this.#putAside(reason, ports);
    this.onDamage({ keptAs, reason, kept: ports.length, dropped });
    return ports;
  }

  /** Replaces what was saved before: whole and on disk when this returns. Throws STATE_DIR_UNFIT and STORE_UNWRITABLE. */
  save(ports: readonly PublishedPort[]): void {
    const temporary = `${this.#path}.tmp`;
    this.#checkFolder();
    try {
      mkdirSync(this.folder, { recursive: true, mode: 0o700 });
      this.#checkFolder(); // another user may have been first
      writeThrough(temporary, toText(ports));
      renameSync(temporary, this.#path);
      syncFolder(this.folder);
    } catch (error) {
      if (errorCode(error) === "STATE_DIR_UNFIT") throw error;
      removeIfPossible(temporary);
      const what = `${this.#path} cannot be written (${errorCode(error) ?? describeError(error)})`;
      throw new PontoonError(
        "STORE_UNWRITABLE",
        this.#path,
        `${what}, so what is published would be forgotten; make room or permit writing in ${this.folder}, or give another --state-dir`,
        { cause: error },
      );
    }
  }

  #checkFolder(): void {
    const fault = faultOfFolder(this.folder);
    if (fault === undefined) return;
    const remedy =
      "choose a folder that only root may write, in folders that only root may write, such as /var/lib/pontoon";
    throw new PontoonError("STATE_DIR_UNFIT", this.folder, `--state-dir ${this.folder}: ${fault}; ${remedy}`);
  }

  #read(): string | undefined {
    try {
      const { text, isWhole } = readRegularFileSync(this.#path, fileAtMost, { followLink: false });
      if (isWhole) return text;
    } catch (error) {
      if (errorCode(error) === "ENOENT") return undefined;
      if (errorCode(error) === "FILE_UNFIT") throw this.#unreadable("is not a regular file; move it away", error);
      throw this.#unreadable(
        `cannot be read (${errorCode(error) ?? describeError(error)}); check it and its folder, or give another --state-dir`,
        error,
      );
    }
    throw this.#unreadable(`has more than ${fileAtMost} bytes; move it away`);
  }

  /** @param ports what takes its place, if anything: there is no moment without them */
  #putAside(reason: string, ports: readonly PublishedPort[]): string {
    const keptAs = this.#freeName();
    try {
      if (ports.length === 0) renameSync(this.#path, keptAs);
      else {
        if (lstatSync(keptAs, { throwIfNoEntry: false })) rmSync(keptAs);
        linkSync(this.#path, keptAs);
        this.save(ports);
      }
    } catch (error) {
      throw this.#unreadable(
        `is damaged (${reason}) and cannot be put aside (${errorCode(error) ?? describeError(error)}); move it away`,
        error,
      );
    }
    return keptAs;
  }

  #freeName(): string {
    const base = `${this.#path}.damaged`;
    let name = base;
    for (let number = 2; number <= damagedAtMost && lstatSync(name, { throwIfNoEntry: false }); number++)
      name = `${base}.${number}`;
    return name;
  }

  #unreadable(what: string, cause?: unknown): PontoonError {
    return new PontoonError("STORE_UNREADABLE", this.#path, `${this.#path} ${what}`, { cause });
  }
}

/** Undefined for what is no JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Entries of a file that is no JSON, cut off or overwritten in part: each stands on a line of its own. */
function linesOf(text: string): unknown[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line.startsWith("{") && /\},?$/.test(line))
    .map((line) => parseJson(line.endsWith(",") ? line.slice(0, -1) : line))
    .filter((entry) => entry !== undefined);
}

/** The first few faults; one that is everywhere would fill the log. */
function explain({ issues }: z.ZodError): string {
  const told = issues.slice(0, 3).map(({ path, message }) => `${path.join(".") || "the file"}: ${message}`);
  return [...told, ...(issues.length > told.length ? [`${issues.length - told.length} more`] : [])].join("; ");
}

/** A line for each port, so that people can read it. */
function toText(ports: readonly PublishedPort[]): string {
  const lines = ports.map((published) => `\n    ${JSON.stringify(published)}`).join(",");
  return `{\n  "version": ${version},\n  "ports": [${lines}${lines === "" ? "" : "\n  "}]\n}\n`;
}

function writeThrough(path: string, text: string): void {
  const file = createFile(path);
  try {
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Makes a rename in it last. */
function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** After a failure that is told anyway. */
function removeIfPossible(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // the next save tries again, and tells what is in the way
  }
}
