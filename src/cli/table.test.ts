import t from "tap";
import { formatTable } from "./table.js";

t.test("columns are as wide as their widest cell, and nothing stands behind the last", (t) => {
  t.equal(
    formatTable(
      ["NAME", "IP"],
      [
        ["web", "10.0.0.2"],
        ["a long name", "-"],
      ],
    ).join("\n"),
    "NAME         IP\nweb          10.0.0.2\na long name  -",
  );
  t.equal(formatTable(["A", ""], [["x", ""]]).join("\n"), "A\nx");
  t.equal(formatTable(["A", "B"], []).join("\n"), "A  B");
  t.end();
});
