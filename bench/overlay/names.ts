/** The network over both hosts, and its subnet. */
export const network = "bench";
export const subnet = "10.88.0.0/16";
/** What is connected and disconnected on the first host. */
export const comes = "comes";
/** What is on the network all the time, one on the first host and one on the second: what comes first has been made. */
export const near = "near";
export const far = "far";
/** Whom pontoon is compared with, in tables. */
export const peer = "Docker's overlay";
