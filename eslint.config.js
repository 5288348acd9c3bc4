// The import rule of docs/architecture.md lives here: who may import whom.
import tseslint from "typescript-eslint";

/** Forbids imports whose path matches, with the reason a reader will see. */
const forbid = (files, patterns) => ({
  files,
  rules: { "no-restricted-imports": ["error", { patterns: patterns.map(([regex, message]) => ({ regex, message })) }] },
});

const noFfi = ["^koffi$", "only src/linux/ calls C functions"];
const noDocker = ["^dockerode$", "only src/docker/ knows Docker's API"];
const notSrc = [
  "(^|/)src/(?!linux/|errors\\.js$|first-words\\.js$|shape\\.js$)",
  "a server imports only src/linux/, src/errors.ts, src/first-words.ts and src/shape.ts from src/",
];

const match = "CallExpression[callee.object.name='t'][callee.property.name='match']";
/** A pattern that an array of any length satisfies is a test that cannot fail. */
const wholeArrays = {
  files: ["**/*.test.ts", "integration/**/*.ts"],
  rules: {
    "no-restricted-syntax": [
      "error",
      {
        selector: `:matches(${match} > ArrayExpression:nth-child(2), ${match} > ObjectExpression:nth-child(2) ArrayExpression)`,
        message:
          "t.match compares arrays by their beginning only: use t.same, t.matchOnly, or { length: 2, 0: …, 1: … }",
      },
    ],
  },
};

/** Plain JavaScript with types in comments. What JSON files and compiled modules hold is typed where it is read. */
const tools = [
  ...tseslint.configs.recommendedTypeChecked.map((config) => ({ ...config, files: ["tools/**/*.mjs"] })),
  {
    files: ["tools/**/*.mjs"],
    languageOptions: { parserOptions: { project: "./tsconfig.tools.json" } },
    rules: {
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-unsafe-assignment": "off",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
    },
  },
];

/** Of code 150 columns; in tests a text or a pattern that stands as one may be longer. */
const lineLength = [
  { files: ["**/*.{ts,mjs,js}"], rules: { "max-len": ["error", { code: 150 }] } },
  {
    files: ["**/*.test.ts", "integration/**/*.ts"],
    rules: {
      "max-len": [
        "error",
        { code: 150, ignoreStrings: true, ignoreTemplateLiterals: true, ignoreRegExpLiterals: true },
      ],
    },
  },
];

export default tseslint.config(
  { ignores: ["dist/**", "node_modules/**"] },
  ...tseslint.configs.recommendedTypeChecked.map((config) => ({ ...config, files: ["**/*.ts"] })),
  {
    files: ["**/*.ts"],
    languageOptions: { parserOptions: { project: "./tsconfig.json" } },
    rules: {
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      "@typescript-eslint/no-floating-promises": "error",
    },
  },
  { files: ["**/*.test.ts", "integration/**/*.ts"], rules: { "@typescript-eslint/no-floating-promises": "off" } },
  ...tools,
  ...lineLength,
  wholeArrays,
  {
    files: ["src/main.ts", "src/cli/**/*.ts"],
    ignores: ["src/cli/output.ts", "**/*.test.ts"],
    rules: {
      "no-restricted-syntax": [
        "error",
        {
          selector: "MemberExpression[object.name='process'][property.name=/^std(out|err)$/]",
          message: "src/cli/output.ts prints: it writes out what a terminal would obey",
        },
      ],
    },
  },
  forbid(["dns/**/*.ts"], [noFfi, noDocker, notSrc, ["(^|/)proxy/", "dns/ and proxy/ know nothing of each other"]]),
  forbid(["proxy/**/*.ts"], [noFfi, noDocker, notSrc, ["(^|/)dns/", "dns/ and proxy/ know nothing of each other"]]),
  ...["src/linux/*.ts", "src/linux/netlink/*.ts", "src/linux/netlink/nftables/*.ts"].map((files, depth) =>
    forbid(
      [files],
      [
        noDocker,
        [`^(\\.\\./){${depth + 1}}(?!errors\\.js$)`, "src/linux/ stands on its own"],
        ["(^|/)(dns|proxy)/", "src/linux/ stands on its own"],
      ],
    ),
  ),
  forbid(["src/docker/**/*.ts"], [noFfi, ["(^|/)linux/", "src/docker/ knows Docker, not the kernel"]]),
  forbid(
    ["src/inventory/**/*.ts"],
    [noFfi, noDocker, ["(^|/)(linux|docker|backend|control|store|cli|servers)/", "src/inventory/ is plain data"]],
  ),
  forbid(
    ["src/cli/**/*.ts"],
    [
      noFfi,
      noDocker,
      ["(^|/)(docker|backend|store|servers)/", "the command line speaks to the daemon through control.sock"],
    ],
  ),
  forbid(["src/{check,control,store,servers,backend,plugin}/**/*.ts", "src/*.ts"], [noFfi, noDocker]),
  forbid(["integration/**/*.ts", "bench/**/*.ts"], [noFfi]),
);
