import { expect, test } from 'vitest';
import plugins from '../src/index';

test('plugins have names of this package', () => {
  for (const plugin of plugins) {
    expect(plugin.id).toMatch(/^py-code-mode-jupyter:/);
  }
});
