import { PontoonError } from "../common/errors.js";
import { makeRoomForDescriptors } from "../linux/descriptors.js";
import { goAhead, raiseDescriptorLimit } from "../linux/privileges.js";
import { checkLayouts, kernelProblem } from "../linux/selftest.js";

/** Of the daemon and its servers: a busy machine must neither let a takeover lapse nor keep a server from coming back. */
const niceness = -5;

/** Makes this process fit to be the daemon. Throws NOT_ROOT, KERNEL_UNFIT, and what {@link checkLayouts} does. */
export function prepareProcess(): void {
  if (process.getuid?.() !== 0)
    throw new PontoonError(
      "NOT_ROOT",
      "pontoon daemon",
      "pontoon daemon works with other programs' network namespaces and needs root; run: sudo pontoon daemon",
    );
  const problem = kernelProblem();
  if (problem !== undefined) throw new PontoonError("KERNEL_UNFIT", "kernel", problem);
  checkLayouts();
  raiseDescriptorLimit();
  goAhead(niceness);
  makeRoomForDescriptors();
}
