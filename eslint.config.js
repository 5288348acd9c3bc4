import boundaries from "eslint-plugin-boundaries";
import { createTypeScriptImportResolver } from "eslint-import-resolver-typescript";
import importX from "eslint-plugin-import-x";
import tseslint from "typescript-eslint";
import { keptTo, rooms } from "./tools/rooms.mjs";

const names = Object.keys(rooms);
const room = (file) => ({ file: { categories: { anyOf: [file].flat() } } });

/** Who may import whom: the first room that has a file is its own. */
const importRule = {
  plugins: { boundaries },
  settings: {
    "import/resolver": { typescript: { alwaysTryTypes: false } },
    "boundaries/files": names.map((category) => ({ category, pattern: rooms[category].files })),
    "boundaries/files-single-match": true,
  },
  rules: {
    "boundaries/dependencies": [
      "error",
      {
        default: "disallow",
        checkAllOrigins: true,
        message:
          "{{from.file.categories}} may not import {{dependency.source}}; docs/architecture.md tells who imports whom",
        policies: [
          { allow: { to: { module: { origin: ["external", "core"] } } } },
          ...names.map((name) => ({ from: room(name), allow: { to: room([name, ...rooms[name].imports]) } })),
          ...Object.entries(keptTo).map(([source, allowed]) => ({
            from: room(names.filter((name) => !allowed.includes(name))),
            disallow: { to: { module: { source } } },
          })),
        ],
      },
    ],
    "boundaries/no-unknown-files": "error",
    "boundaries/no-unknown-dependencies": "error",
  },
};

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
  { files: ["**/*.ts"], ignores: ["**/*.test.ts"], ...importRule },
  {
    files: ["**/*.ts"],
    plugins: { "import-x": importX },
    settings: {
      "import-x/resolver-next": [createTypeScriptImportResolver()],
      "import-x/parsers": { "@typescript-eslint/parser": [".ts"] },
    },
    rules: { "import-x/no-cycle": "error" },
  },
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
);
