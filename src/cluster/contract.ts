/** What the control API says of a host of the cluster. */
export interface HostAnswer {
  readonly id: string;
  readonly name: string;
  /** Where other hosts reach it. */
  readonly advertise: string;
  /** ISO 8601. */
  readonly joined: string;
  /** Whether it is the one that answers. */
  readonly self: boolean;
  /** `away`: it is not in touch with the store, its names are withdrawn, and what it has taken stays taken. */
  readonly state: "in touch" | "away";
  readonly endpoints: number;
}
