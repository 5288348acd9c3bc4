import { spawnSync } from "node:child_process";
import { errorCode } from "../../common/errors.js";
import { ECONNREFUSED, ENOENT, EPROTO, ETIMEDOUT } from "../constants.js";
import { bind, LinuxError } from "../ffi.js";
import {
  closeDescriptor,
  connectUnix,
  peerCredentials,
  receiveBytes,
  sendBytes,
  streamSocket,
  WOULD_BLOCK,
} from "../socket.js";
import type { WireguardChanges, WireguardDevice, WireguardState } from "./device.js";
import { getRequest, readAnswer, setRequest, type UapiAnswer } from "./uapi-text.js";

const poll = bind("int poll(void *, unsigned long, int)");
/** `struct pollfd`. */
const POLLFD = { size: 8, events: 4 } as const;
const [POLLIN, POLLOUT] = [1, 4];
const answerWithin = 5000; // ms
const startWithin = 10_000; // ms
/** Of an answer: that of some ten thousand peers. */
const answerAtMost = 8 << 20; // bytes

/**
 * A tun link for which a program such as wireguard-go does WireGuard's work. It is spoken with by its socket below
 * /var/run/wireguard, and goes on when whoever started it ends; it ends with the link.
 */
export class ProgramDevice implements WireguardDevice {
  readonly #path: string;

  constructor(link: string) {
    this.#path = `/var/run/wireguard/${link}.sock`;
  }

  read(): WireguardState | undefined {
    try {
      return this.#ask(getRequest).state;
    } catch (error) {
      if (error instanceof LinuxError && goneCodes.includes(error.errno)) return undefined;
      throw error;
    }
  }

  write(changes: WireguardChanges): void {
    const { errno } = this.#ask(setRequest(changes));
    if (errno !== 0) throw new LinuxError(errno, "set", this.#path);
  }

  close(): void {
    // Nothing is kept open.
  }

  #ask(request: string): UapiAnswer {
    const fd = streamSocket();
    try {
      connectUnix(fd, this.#path);
      if (peerCredentials(fd).uid !== 0) throw new LinuxError(EPROTO, "connect", `${this.#path}, which is not root's`);
      sendAll(fd, Buffer.from(request), this.#path);
      const answer = readAnswer(receiveAll(fd, this.#path));
      if (!answer) throw new LinuxError(EPROTO, "read", this.#path);
      return answer;
    } finally {
      closeDescriptor(fd);
    }
  }
}

const goneCodes: readonly number[] = [ENOENT, ECONNREFUSED];

/**
 * Starts such a program for a tun link that is there, or is made so by it. It detaches itself, as `wireguard-go NAME` does.
 * @returns why it could not be started, in words
 */
export function startWireguardProgram(program: string, link: string): string | undefined {
  const { status, signal, error } = spawnSync(program, [link], { stdio: "ignore", timeout: startWithin, cwd: "/" });
  if (error) return errorCode(error) ?? error.message;
  return status === 0 ? undefined : `it ended with ${signal ?? `exit code ${status}`}`;
}

function sendAll(fd: number, bytes: Buffer, subject: string): void {
  for (let at = 0; at < bytes.length;) {
    const sent = sendBytes(fd, bytes.subarray(at));
    if (sent === WOULD_BLOCK) wait(fd, POLLOUT, subject);
    else at += sent;
  }
}

/** Up to the empty line at the end. */
function receiveAll(fd: number, subject: string): string {
  const buffer = Buffer.from(new ArrayBuffer(64 * 1024));
  const parts: Buffer[] = [];
  for (let size = 0; size < answerAtMost;) {
    const received = receiveBytes(fd, buffer);
    if (received === WOULD_BLOCK) {
      wait(fd, POLLIN, subject);
      continue;
    }
    parts.push(Buffer.from(buffer.subarray(0, received)));
    size += received;
    const end = Buffer.concat(parts.slice(-2)).toString("latin1");
    if (received === 0 || end.endsWith("\n\n")) return Buffer.concat(parts).toString("latin1");
  }
  throw new LinuxError(EPROTO, "read", subject);
}

function wait(fd: number, events: number, subject: string): void {
  const one = Buffer.from(new ArrayBuffer(POLLFD.size));
  one.writeInt32LE(fd, 0);
  one.writeInt16LE(events, POLLFD.events);
  if (poll(one, 1, answerWithin) === 0) throw new LinuxError(ETIMEDOUT, "read", subject);
}
