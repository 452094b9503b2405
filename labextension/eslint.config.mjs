import js from '@eslint/js';
import tseslint from 'typescript-eslint';

export default tseslint.config({ ignores: ['lib/**', 'node_modules/**'] }, js.configs.recommended, {
  files: ['**/*.ts', '**/*.tsx'],
  extends: [...tseslint.configs.strictTypeChecked],
  languageOptions: { parserOptions: { project: './test/tsconfig.json' } },
  rules: {
    'no-console': 'error',
    eqeqeq: 'error',
    // Lumino's signals take `this` as an argument of its own.
    '@typescript-eslint/unbound-method': 'off',
    '@typescript-eslint/no-unused-vars': [
      'error',
      { ignoreRestSiblings: true, argsIgnorePattern: '^_' }
    ],
    // What comes from outside is shown as text, and never becomes markup.
    'no-restricted-properties': [
      'error',
      ...['innerHTML', 'outerHTML', 'insertAdjacentHTML', 'dangerouslySetInnerHTML', 'srcdoc'].map(
        property => ({ property })
      )
    ],
    'no-restricted-syntax': ['error', "JSXAttribute[name.name='dangerouslySetInnerHTML']"],
    '@typescript-eslint/explicit-function-return-type': ['error', { allowExpressions: true }],
    '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
    // A listener's promise has nobody to wait for it; `void` says so.
    '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }]
  }
});
