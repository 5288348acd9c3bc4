import t from "tap";
import { questionLines, questionsFor } from "./questions.js";

const named = Array.from({ length: 4 }, (_, index) => ({
  name: `n${index}`,
  ip: `10.0.0.${index}`,
  ip6: `fd00::${index}`,
}));

t.test("every name is asked for alike, with each type as often as its share says", (t) => {
  const questions = questionsFor(named);
  t.equal(questions.length, 40);
  for (const { name } of named) t.same([count("A", name), count("AAAA", name)], [7, 3]);
  t.ok(
    questions.every(
      ({ name, type, expected }) => expected === (type === "A" ? `10.0.0.${name[1]}` : `fd00::${name[1]}`),
    ),
  );
  t.match(questionLines(questions), /^n0 A\nn1 A\n/);
  t.end();

  function count(type: string, name: string): number {
    return questions.filter((question) => question.type === type && question.name === name).length;
  }
});
