import { until, type BareHost, type Outside } from "../lab/index.js";

/** How dnsmasq lends. */
export interface LendingOptions {
  /** First and last address. Default 10.77.0.100 to .120. */
  range?: readonly [string, string];
  /** `dnsmasq --dhcp-option`. */
  options?: readonly string[];
  /** Addresses that are kept for a client, `MAC,ADDRESS`. */
  readonly kept?: readonly string[];
  /** The link it serves. Default eth0. */
  readonly link?: string;
  /** Whether it knows nothing of what it has lent. */
  readonly forgets?: boolean;
}

const folder = "/run/host/dhcp";

/** A LAN's DHCP server: dnsmasq (Debian's dnsmasq-base), with the outside of a host, or on the host. It ends with the host. */
export class DhcpServer {
  #pid = 0;

  private constructor(
    private readonly host: BareHost,
    private readonly place: Pick<Outside, "exec">,
  ) {}

  static async start(host: BareHost, place: Pick<Outside, "exec">, options: LendingOptions = {}): Promise<DhcpServer> {
    const server = new DhcpServer(host, place);
    await server.start(options);
    return server;
  }

  /** Starts it again, with what it has lent so far. */
  async start(lending: LendingOptions = {}): Promise<void> {
    const { range = ["10.77.0.100", "10.77.0.120"], options = [], kept = [], link = "eth0", forgets = false } = lending;
    await this.host.exec(["mkdir", "-p", folder]);
    if (forgets) await this.host.exec(["rm", "-f", `${folder}/leases`]);
    await this.place.exec([
      "dnsmasq",
      ...["--conf-file=/dev/null", "--user=root", "--port=0", `--interface=${link}`, "--bind-interfaces", "--no-ping"],
      ...["--dhcp-authoritative", `--dhcp-range=${range[0]},${range[1]},255.255.255.0,120`, "--log-dhcp"],
      ...[`--dhcp-leasefile=${folder}/leases`, `--pid-file=${folder}/pid`, `--log-facility=${folder}/log`],
      ...options.map((option) => `--dhcp-option=${option}`),
      ...kept.map((host) => `--dhcp-host=${host}`),
    ]);
    this.#pid = Number(await this.#read("pid"));
  }

  async stop(): Promise<void> {
    await this.host.signal("SIGKILL", this.#pid);
    await until(async () => !(await this.#isThere()), { what: "the DHCP server ends" });
  }

  async #isThere(): Promise<boolean> {
    return (await this.host.exec(["test", "-e", `/proc/${this.#pid}`], { reject: false })).exitCode === 0;
  }

  /** What is lent: address, and the name that was told. */
  async leases(): Promise<{ ip: string; name: string; mac: string; clientId: string }[]> {
    const lines = (await this.#read("leases")).split("\n").filter((line) => line !== "");
    return lines.map((line) => {
      const [, mac = "", ip = "", name = "", clientId = ""] = line.split(" ");
      return { ip, name, mac, clientId };
    });
  }

  /** Kinds of messages that came and went, `DHCPDISCOVER`, in order. @param mac of one client */
  async messages(mac = ""): Promise<string[]> {
    const lines = (await this.#read("log")).split("\n").filter((line) => line.includes(mac));
    return lines.flatMap((line) => /\b(DHCP[A-Z]+)\(/.exec(line)?.[1] ?? []);
  }

  async #read(file: string): Promise<string> {
    return (await this.host.exec(["cat", `${folder}/${file}`], { reject: false })).stdout;
  }
}
