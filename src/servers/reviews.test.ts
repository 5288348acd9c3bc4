import t from "tap";
import { Reviews } from "./reviews.js";

t.test("what one turn of the event loop asks for is looked at once, networks first", async (t) => {
  const seen: string[] = [];
  let end: (() => void) | undefined;
  const reviews = new Reviews({
    reviewNetwork: (id) => {
      seen.push(`network ${id}`);
      reviews.request({ containers: ["b", "c"] });
    },
    reviewContainer: (id) => {
      seen.push(`container ${id}`);
      return id === "a" ? new Promise<void>((resolve) => (end = resolve)) : undefined;
    },
    onReviewed: () => seen.push("reviewed"),
  });
  reviews.request({ containers: ["a", "b"] });
  reviews.request({ containers: ["a"], networks: ["n"] });
  let settled = false;
  const settling = reviews.settled().then(() => (settled = true));
  while (!seen.includes("reviewed")) await new Promise((resolve) => setTimeout(resolve, 1));
  t.same(seen, ["network n", "container a", "container b", "container c", "reviewed"]);
  t.notOk(settled, "a is not over");
  end!();
  await settling;
  reviews.request();
  await reviews.settled();
  t.equal(seen.at(-1), "reviewed");
  t.equal(seen.length, 6);
});
