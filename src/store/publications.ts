import { closeSync, fsyncSync, lstatSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import { z } from "zod";
import { describeError, errorCode, PontoonError } from "../errors.js";
import { createFile, readRegularFileSync } from "../files.js";
import type { PublishedPort } from "../inventory/published.js";
import { faultOfFolder } from "../own-folder.js";

const version = 1;
const fileAtMost = 16 * 1024 * 1024; // bytes, some 80,000 ports

const port = z.number().int().min(1).max(65_535);
const time = z.number().positive();
const count = z.number().int().nonnegative();
const networks = z.array(z.string()).readonly();

const optionsSchema = z.strictObject({
  connectTimeoutMs: time.exactOptional(),
  halfClosedIdleMs: time.exactOptional(),
  maxConnections: count.exactOptional(),
  proxyProtocol: z.enum(["none", "v1", "v2"]).exactOptional(),
  acceptProxyProtocolFrom: networks.exactOptional(),
  proxyHeaderMs: time.exactOptional(),
  allowFrom: networks.exactOptional(),
  udpIdleMs: time.exactOptional(),
  udpFlows: count.positive().exactOptional(),
  drainMs: z.number().nonnegative().exactOptional(),
});

const portSchema = z.strictObject({
  container: z.string().min(1),
  transport: z.enum(["tcp", "udp"]),
  ip: z.string().refine((ip) => isIP(ip) !== 0 && !ip.includes("%"), "is no address"),
  hostPort: port,
  containerPort: port,
  options: optionsSchema,
  byDefault: z.literal(true).exactOptional(),
  source: z.enum(["command", "label"]),
}) satisfies z.ZodType<PublishedPort>;

const versionSchema = z.looseObject({ version: z.number().int().positive() });
const fileSchema = z.strictObject({ version: z.literal(version), ports: z.array(portSchema) });

/** A file that made no sense and was put aside. */
export interface DamagedFile {
  /** Where it is now. */
  readonly keptAs: string;
  /** What is wrong with it, on one line. */
  readonly reason: string;
}

/** Remembers what pontoon publishes, in `publications.json` of the state directory. */
export class PublicationStore {
  readonly #path: string;

  /**
   * @param folder the state directory; made when something is saved
   * @param onDamage told by {@link load} of a file that was put aside; what it remembered is not published again
   */
  constructor(
    private readonly folder: string,
    private readonly onDamage: (file: DamagedFile) => void,
  ) {
    this.#path = join(folder, "publications.json");
  }

  /** What was saved last; nothing if the file is missing or damaged. Throws STATE_DIR_UNFIT and STORE_UNREADABLE, and leaves the file alone then. */
  load(): readonly PublishedPort[] {
    this.#checkFolder();
    const text = this.#read();
    if (text === undefined) return [];
    const data = parseJson(text);
    const versioned = versionSchema.safeParse(data);
    if (versioned.success && versioned.data.version > version)
      throw this.#unreadable(`was written by a newer pontoon (version ${versioned.data.version} of the file, this one knows ${version}); install that one again, or move the file away and publish anew`);
    const file = fileSchema.safeParse(data);
    if (file.success) return file.data.ports;
    this.#putAside(data === undefined ? "not JSON" : explain(file.error));
    return [];
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
      throw new PontoonError("STORE_UNWRITABLE", this.#path, `${what}, so what is published would be forgotten; make room or permit writing in ${this.folder}, or give another --state-dir`, { cause: error });
    }
  }

  #checkFolder(): void {
    const fault = faultOfFolder(this.folder);
    if (fault === undefined) return;
    const remedy = "choose a folder that only root may write, in folders that only root may write, such as /var/lib/pontoon";
    throw new PontoonError("STATE_DIR_UNFIT", this.folder, `--state-dir ${this.folder}: ${fault}; ${remedy}`);
  }

  #read(): string | undefined {
    try {
      const { text, isWhole } = readRegularFileSync(this.#path, fileAtMost, { followLink: false });
      if (isWhole) return text;
    } catch (error) {
      if (errorCode(error) === "ENOENT") return undefined;
      if (errorCode(error) === "FILE_UNFIT") throw this.#unreadable("is not a regular file; move it away", error);
      throw this.#unreadable(`cannot be read (${errorCode(error) ?? describeError(error)}); check it and its folder, or give another --state-dir`, error);
    }
    throw this.#unreadable(`has more than ${fileAtMost} bytes; move it away`);
  }

  #putAside(reason: string): void {
    const keptAs = this.#freeName();
    try {
      renameSync(this.#path, keptAs);
    } catch (error) {
      throw this.#unreadable(`is damaged (${reason}) and cannot be put aside (${errorCode(error) ?? describeError(error)}); move it away`, error);
    }
    this.onDamage({ keptAs, reason });
  }

  #freeName(): string {
    const base = `${this.#path}.damaged`;
    let name = base;
    for (let number = 2; lstatSync(name, { throwIfNoEntry: false }); number++) name = `${base}.${number}`;
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
