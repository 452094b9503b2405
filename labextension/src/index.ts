/**
 * Code Mode in JupyterLab: the list of its plugins.
 */
import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { badge } from './plugins/badge';
import { banner } from './plugins/banner';
import { core } from './plugins/core';
import { launcher } from './plugins/launcher';
import { panel } from './plugins/panel';
import { runIn } from './plugins/runIn';
import { running } from './plugins/running';

export * from './tokens';

const plugins: JupyterFrontEndPlugin<unknown>[] = [
  core,
  badge,
  banner,
  launcher,
  panel,
  runIn,
  running
];

export default plugins;
