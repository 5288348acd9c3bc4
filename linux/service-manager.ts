import { closeDescriptor, connectUnix, datagramSocket, sendBytes } from "./socket.js";

/** Tells systemd how the service is (sd_notify(3)). A process that systemd did not start tells nobody anything. */
export class ServiceManager {
  #alive: NodeJS.Timeout | undefined;

  private constructor(
    private readonly path: string | undefined,
    /** ms without a sign of life after which systemd ends the service; 0 for never */
    private readonly watchdogTime: number,
    private readonly onError: (error: unknown) => void,
  ) {}

  /** Removes systemd's variables from the environment, so that programs started from here do not think they are meant. */
  static fromEnvironment(environment: NodeJS.ProcessEnv, onError: (error: unknown) => void): ServiceManager {
    const { NOTIFY_SOCKET: path, WATCHDOG_USEC: watchdog, WATCHDOG_PID: pid } = environment;
    for (const name of ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]) delete environment[name];
    const isMeant = pid === undefined || Number(pid) === process.pid;
    return new ServiceManager(path, isMeant ? Number(watchdog ?? 0) / 1000 : 0, onError);
  }

  /** The service is up. From now on signs of life are sent. */
  ready(): void {
    this.#send("READY=1");
    if (this.path !== undefined && this.watchdogTime > 0)
      this.#alive = setInterval(() => this.#send("WATCHDOG=1"), this.watchdogTime / 3);
  }

  /** One line for `systemctl status`. */
  status(text: string): void {
    this.#send(`STATUS=${text}`);
  }

  stopping(): void {
    clearInterval(this.#alive);
    this.#send("STOPPING=1");
  }

  /** Never waits: if the manager is too slow to take it, it is not sent. */
  #send(message: string): void {
    if (this.path === undefined) return;
    const fd = datagramSocket();
    try {
      connectUnix(fd, this.path.replace(/^@/, "\0"));
      sendBytes(fd, Buffer.from(message));
    } catch (error) {
      this.onError(error);
    } finally {
      closeDescriptor(fd);
    }
  }
}
