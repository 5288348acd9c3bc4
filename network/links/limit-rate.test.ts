import t from "tap";
import { NetlinkError } from "../../linux/netlink/nfnetlink.js";
import type { Rtnetlink, RtRequest } from "../../linux/netlink/rtnetlink/rtnetlink.js";
import { limitRate } from "./limit-rate.js";

const ENODEV = 19;
const ENOENT = 2;
const ENOTSUP = 95;
const bucket = { rate: 1000, burst: 66_560, limit: 66_560 };

/** A kernel that lacks something, and has links of any name. */
function kernel(refused: string, errno: number): Rtnetlink {
  const link = { index: 7, name: "v0" };
  const fake = {
    get: ({ subject }: RtRequest) => (subject === "get link pts0" || errno === ENODEV ? undefined : link),
    requestEach: () => [],
    request: ({ subject }: RtRequest) => {
      if (subject.startsWith(refused)) throw new NetlinkError(errno, subject, undefined);
    },
  };
  return fake as unknown as Rtnetlink;
}

t.test("what a kernel cannot do is said with the module that it lacks", (t) => {
  const cases = [
    [kernel("limit what", ENOENT), { kind: "limit-rate", link: "v0", bucket }, "sch_tbf"],
    [kernel("filter what", ENOENT), { kind: "redirect", link: "v0", shaper: "i0" }, "sch_ingress"],
    [kernel("redirect what", ENOENT), { kind: "redirect", link: "v0", shaper: "i0" }, "cls_u32 or act_mirred"],
    [kernel("add ifb", ENOTSUP), { kind: "make-shaper", shaper: "pts0", alias: "pontoon shaper 0" }, "ifb"],
  ] as const;
  for (const [host, step, module] of cases)
    t.throws(() => limitRate(host, step), {
      code: "KIND_UNSUPPORTED",
      message: new RegExp(`^this kernel cannot limit bandwidth: it lacks ${module}; load that module, or leave out`),
    });
  t.throws(() => limitRate(kernel("limit what", 1), { kind: "limit-rate", link: "v0", bucket }), { code: "EPERM" });
  t.throws(() => limitRate(kernel("", ENODEV), { kind: "limit-rate", link: "v0", bucket }), { code: "NO_LINK" });
  t.end();
});
