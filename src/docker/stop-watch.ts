import type { Duplex } from "node:stream";

/** A connection that did not last longer was closed by a proxy in front of dockerd, ms. */
const shortLife = 1000;
/** After so many short-lived connections in a row, an idle connection tells nothing. */
const shortLivesAtMost = 3;
const request = "GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n";

/**
 * Learns that dockerd begins to stop. From Docker 26 on (tried: 26.1, 28.5) it closes its sockets first, then each connection
 * on which nothing is asked, and waits up to 5 s for all others, of which a subscription to events is one. So one connection
 * is kept idle: when it is closed, and dockerd accepts no other, dockerd is stopping. Earlier versions close none, and wait for nobody.
 */
export class StopWatch {
  #connection: Duplex | undefined;
  #shortLives = 0;
  #closed = false;

  /**
   * @param connect makes a connection to dockerd
   * @param mayConnect rejects when a connection would do harm: systemd alone holds the socket, and would start dockerd again
   * @param onStop called once at most, not from inside the constructor
   */
  constructor(
    private readonly connect: () => Duplex,
    private readonly mayConnect: () => Promise<void>,
    private readonly onStop: () => void,
  ) {
    this.#open();
  }

  close(): void {
    this.#closed = true;
    this.#connection?.destroy();
  }

  #open(): void {
    const connection = (this.#connection = this.connect());
    let since: number | undefined;
    connection.on("connect", () => (since = performance.now()));
    connection.on("error", () => undefined); // its close follows
    connection.on("close", () => void this.#onClose(since));
    connection.on("end", () => connection.destroy());
    connection.resume().write(request);
  }

  /** @param since when dockerd took the connection; undefined if it did not */
  async #onClose(since: number | undefined): Promise<void> {
    if (this.#closed) return;
    if (since === undefined) return this.#stops();
    this.#shortLives = performance.now() - since < shortLife ? this.#shortLives + 1 : 0;
    if (this.#shortLives >= shortLivesAtMost) return;
    try {
      await this.mayConnect();
    } catch {
      return this.#stops();
    }
    if (!this.#closed) this.#open();
  }

  #stops(): void {
    if (this.#closed) return;
    this.close();
    this.onStop();
  }
}
