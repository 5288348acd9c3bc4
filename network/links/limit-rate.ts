import { errorCode, PontoonError } from "../../common/errors.js";
import { changeLink, linkNamed } from "../../linux/netlink/rtnetlink/links.js";
import { addIngress, deleteIngress, newIfb, redirectAll, setBucket } from "../../linux/netlink/rtnetlink/queues.js";
import type { Rtnetlink, RtRequest } from "../../linux/netlink/rtnetlink/rtnetlink.js";
import { setIPv6 } from "../../linux/network-settings.js";
import type { Step } from "../plan/steps.js";

type Limiting = Step & { readonly kind: "limit-rate" | "make-shaper" | "redirect" | "end-redirect" };

/** Of one kernel module each. */
const modules = { bucket: "sch_tbf", ingress: "sch_ingress", redirect: "cls_u32 or act_mirred", ifb: "ifb" } as const;
/** How the kernel says that it has none of a kind: of a discipline or a filter, and of a link. */
const unknownKinds = ["ENOENT", "ENOTSUP"] as const;

/** Limits rates of links of the host. @param host rtnetlink of its namespace. Throws NO_LINK, KIND_UNSUPPORTED, NetlinkError. */
export function limitRate(host: Rtnetlink, step: Limiting): void {
  const indexOf = (name: string) => requireLink(host, name);
  switch (step.kind) {
    case "limit-rate":
      return need(host, "bucket", setBucket(indexOf(step.link), step.bucket));
    case "make-shaper":
      return makeShaper(host, step.shaper, step.alias);
    case "redirect": {
      const [link, shaper] = [indexOf(step.link), indexOf(step.shaper)];
      host.requestEach([deleteIngress(link)]); // with filters that lead elsewhere, if there are any
      need(host, "ingress", addIngress(link));
      return need(host, "redirect", redirectAll(link, shaper));
    }
    case "end-redirect":
      host.requestEach([deleteIngress(indexOf(step.link))]);
  }
}

/** It passes on what it is sent, and says nothing of its own: without IPv6. */
function makeShaper(host: Rtnetlink, shaper: string, alias: string): void {
  if (!linkNamed(host, shaper)) need(host, "ifb", newIfb(shaper));
  setIPv6(shaper, false);
  host.request(changeLink(shaper, { alias, isUp: true }));
}

function need(host: Rtnetlink, what: keyof typeof modules, request: RtRequest): void {
  try {
    host.request(request);
  } catch (error) {
    if (!unknownKinds.some((code) => code === errorCode(error))) throw error;
    const name = modules[what];
    throw new PontoonError(
      "KIND_UNSUPPORTED",
      name,
      `this kernel cannot limit bandwidth: it lacks ${name}; load that module, or leave out the bandwidth`,
      { cause: error },
    );
  }
}

function requireLink(host: Rtnetlink, name: string): number {
  const link = linkNamed(host, name);
  if (link) return link.index;
  throw new PontoonError("NO_LINK", name, `there is no link ${name} on this host`);
}
