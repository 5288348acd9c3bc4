import t from "tap";
import { checkText, type CheckReport } from "./check-text.js";

const finding = (
  level: "ok" | "warning" | "problem",
  subject: string,
  text: string,
  remedy?: string,
): CheckReport["findings"][number] => ({ level, subject, text, remedy });
const ok = finding("ok", "kernel", "Linux 6.1");

t.test("one line for each finding, and one that sums up", (t) => {
  const text = checkText({
    well: false,
    findings: [ok, finding("warning", "port 53", "a rule"), finding("problem", "docker", "no dockerd", "start it")],
    repaired: ["/run/x"],
  }).join("\n");
  t.equal(
    text,
    [
      "ok       kernel   Linux 6.1",
      "warning  port 53  a rule",
      "problem  docker   no dockerd; start it",
      "removed  /run/x",
      "",
      "1 problem, 1 warning.",
    ].join("\n"),
  );
  t.match(checkText({ well: true, findings: [ok], repaired: [] }).join("\n"), /\n\nAll is well\.$/);
  t.match(
    checkText({
      well: true,
      findings: [ok, finding("warning", "a", "b"), finding("warning", "a", "c")],
      repaired: [],
    }).join("\n"),
    /Nothing stops pontoon from working; 2 warnings\.$/,
  );
  t.end();
});
