import t from "tap";
import { ReviewQueue } from "./review-queue.js";

t.test("what one turn of the event loop asks for is looked at once, networks first", async (t) => {
  const seen: string[] = [];
  let end: (() => void) | undefined;
  const reviewQueue = new ReviewQueue({
    reviewNetwork: (id) => {
      seen.push(`network ${id}`);
      reviewQueue.request({ containers: ["b", "c"] });
    },
    reviewContainer: (id) => {
      seen.push(`container ${id}`);
      return id === "a" ? new Promise<void>((resolve) => (end = resolve)) : undefined;
    },
    onReviewed: () => seen.push("reviewed"),
  });
  reviewQueue.request({ containers: ["a", "b"] });
  reviewQueue.request({ containers: ["a"], networks: ["n"] });
  let settled = false;
  const settling = reviewQueue.settled().then(() => (settled = true));
  while (!seen.includes("reviewed")) await new Promise((resolve) => setTimeout(resolve, 1));
  t.same(seen, ["network n", "container a", "container b", "container c", "reviewed"]);
  t.notOk(settled, "a is not over");
  end!();
  await settling;
  reviewQueue.request();
  await reviewQueue.settled();
  t.equal(seen.at(-1), "reviewed");
  t.equal(seen.length, 6);
});
