import type { Gateway } from "./gateway.js";
import { transactionBody } from "./transaction.js";
import { grpcCode, RefusedError } from "./verdict.js";
import { fieldsOf, headerOf, integerOf, NonsenseError, textOf } from "./wire.js";

/** etcd's number of a lease. It has 64 bits, more than a JavaScript number. */
export type Lease = string;

/** Leases of etcd's. */
export class Leases {
  constructor(
    private readonly gateway: Gateway,
    private readonly prefix: string,
  ) {}

  /** @param ttl seconds; etcd makes it longer than one and a half times its election timeout */
  async grant(ttl: number): Promise<Lease> {
    // One that was granted without our knowledge ends by itself.
    const answer = await this.gateway.ask(
      "/v3/lease/grant",
      { TTL: String(ttl) },
      { repeat: "safely", isAgreed: false },
    );
    const lease = textOf(answer["ID"]);
    if (lease === "") throw new NonsenseError("a lease has no number");
    return lease;
  }

  /** @param within ms @returns false when etcd has no such lease */
  async keepAlive(lease: Lease, within: number): Promise<boolean> {
    const asking = { repeat: "safely", isAgreed: false, within } as const;
    const answer = await this.gateway.ask("/v3/lease/keepalive", { ID: lease }, asking);
    return integerOf(fieldsOf(answer["result"])["TTL"]) > 0;
  }

  /** Ends it, with the records that go with it. @param within ms */
  async revoke(lease: Lease, within: number): Promise<void> {
    try {
      await this.gateway.ask("/v3/lease/revoke", { ID: lease }, { repeat: "safely", isAgreed: false, within });
    } catch (error) {
      if (!(error instanceof RefusedError) || error.grpcCode !== grpcCode.notFound) throw error;
    }
  }

  /** Puts a record that goes with a lease. @returns the revision at that */
  async put(key: string, value: unknown, lease: Lease): Promise<number> {
    const body = transactionBody(this.prefix, { requires: [], changes: [{ key, value }] }, lease);
    const answer = await this.gateway.ask("/v3/kv/txn", body, { repeat: "safely", isAgreed: true });
    return headerOf(answer).revision;
  }
}
