import jsxA11y from "eslint-plugin-jsx-a11y";
import reactHooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";

export default tseslint.config(
    { ignores: ["node_modules", "src/api/schema.ts"] },
    {
        files: ["**/*.{ts,tsx}"],
        extends: [
            tseslint.configs.strictTypeChecked,
            jsxA11y.flatConfigs.strict,
            reactHooks.configs.flat.recommended,
        ],
        languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
        rules: {
            // Numbers in sentences are meant as they are printed.
            "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
        },
    },
);
